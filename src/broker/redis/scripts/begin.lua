-- Which run a machine joins: the one there is, or a new one.
-- Invariant: the record has one shape, that of the shared queues of one file; another shape is another pipeline.
-- A run's number is never used twice. A life of a machine begins one run at most, however often it asks: the answer may have got lost,
-- and each new connection asks again.
-- KEYS: pipeline, runs   ARGV: shape, "join" or "new", machine, life   -> {"run", number} or {"foreign", shape of the record}
local begun_by = 'begun_by:' .. ARGV[3] .. ':' .. ARGV[4]
local is_new = ARGV[2] == 'new' and redis.call('HEXISTS', KEYS[1], begun_by) == 0
local shape = redis.call('HGET', KEYS[1], 'shape')
if shape and shape ~= ARGV[1] and not is_new then
  return { 'foreign', shape }
end
local run = redis.call('HGET', KEYS[1], 'run')
if not run or is_new then
  run = redis.call('HINCRBY', KEYS[1], 'run', 1)
  redis.call('HSET', KEYS[1], 'shape', ARGV[1])
  if is_new then
    redis.call('HSET', KEYS[1], begun_by, run)
  end
  redis.call('SADD', KEYS[2], run)
end
return { 'run', tonumber(run) }
