-- Which run a machine joins: the one that it is in, the latest, or a new one.
-- Invariant: the record has one shape, that of the shared queues of one file; another shape is another pipeline.
-- A run's number is never used twice. A life of a machine begins one run at most, however often it asks: the answer may have got lost,
-- and each new connection asks again. It stays in the run that it has joined, whatever run is the latest.
-- KEYS: pipeline, runs, the record of the run that it has joined (any, if none)
-- ARGV: shape, "join" or "new", machine, life, the number of that run or ""   -> {"run", number} or {"foreign", shape of the record}
if ARGV[5] ~= '' and redis.call('EXISTS', KEYS[3]) == 1 then
  return { 'run', tonumber(ARGV[5]) }
end
local begun_by = 'begun_by:' .. ARGV[3] .. ':' .. ARGV[4]
local is_new = ARGV[2] == 'new'
local begun = is_new and redis.call('HGET', KEYS[1], begun_by)
if begun then
  return { 'run', tonumber(begun) }
end
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
