-- A line says that it will write into a queue: the queue does not end before this line has marked its end (commit.lua).
-- Invariant: a sealed queue gets no new writer; one that was known stays as it is.
-- KEYS: about, writers   ARGV: writer   -> 1, or 0 if the queue is sealed
if redis.call('HEXISTS', KEYS[1], 'sealed') == 1 then
  return redis.call('HEXISTS', KEYS[2], ARGV[1])
end
redis.call('HSETNX', KEYS[2], ARGV[1], 'open')
return 1
