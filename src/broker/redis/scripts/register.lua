-- A line says that it will write into a queue: the queue does not end before this line has marked its end (commit.lua).
-- Invariant: a sealed queue gets no new writer; one that was known stays as it is. One that was struck off with its machine
-- (forget.lua) is new: a life of the machine has joined since.
-- KEYS: about, writers   ARGV: writer   -> 1, or 0 if the queue is sealed
local known = redis.call('HGET', KEYS[2], ARGV[1])
local is_new = not known or known == 'struck'
if redis.call('HEXISTS', KEYS[1], 'sealed') == 1 then
  return is_new and 0 or 1
end
if is_new then
  redis.call('HSET', KEYS[2], ARGV[1], 'open')
end
return 1
