-- Which run a machine joins: the one there is, or a new one.
-- Invariant: the record has one shape, that of the shared queues of one file; another shape is another pipeline.
-- A run's number is never used twice.
-- KEYS: pipeline, runs   ARGV: shape, "join" or "new"   -> {"run", number} or {"foreign", shape of the record}
local shape = redis.call('HGET', KEYS[1], 'shape')
if shape and shape ~= ARGV[1] and ARGV[2] ~= 'new' then
  return { 'foreign', shape }
end
local run = redis.call('HGET', KEYS[1], 'run')
if not run or ARGV[2] == 'new' then
  run = redis.call('HINCRBY', KEYS[1], 'run', 1)
  redis.call('HSET', KEYS[1], 'shape', ARGV[1])
  redis.call('SADD', KEYS[2], run)
end
return { 'run', tonumber(run) }
