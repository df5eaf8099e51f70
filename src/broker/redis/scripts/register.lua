-- A stage says that it will write into a queue: the queue does not end before the stage has marked its end (commit.lua).
-- Invariant: a sealed queue gets no new writer; one that was known stays as it is. One that was struck off with its machine
-- (forget.lua) is new: a life of the machine has joined since.
-- KEYS: about, writers   ARGV: place of the stage   -> "open", "ended": it has marked its end before, "sealed"
local state = redis.call('HGET', KEYS[2], ARGV[1])
if state == 'open' or state == 'ended' then
  return state
end
if redis.call('HEXISTS', KEYS[1], 'sealed') == 1 then
  return 'sealed'
end
write_when_full(KEYS[2])
redis.call('HSET', KEYS[2], ARGV[1], 'open')
return 'open'
