-- Which run a machine joins: the one that it is in, the latest, or a new one.
-- Invariant: the record has one shape, that of the shared queues of one file; another shape is another pipeline.
-- A run's number is never used twice. A life of a machine begins one run at most, however often it asks: the answer may have got lost,
-- and each new connection asks again. It stays in the run that it has joined, whatever run is the latest.
-- KEYS: pipeline, runs, the record of the run that it has joined or wants (any, if none)
-- ARGV: shape, "join", "new" or "only", machine, life, the number of that run or "", what the keys of runs begin with, the names of the
--   queues…
-- -> {"run", number, number of the run before if it has not ended, or 0}, {"foreign", shape of the record} or {"none"}
if ARGV[2] == 'only' then
  local shape = redis.call('HGET', KEYS[1], 'shape:' .. ARGV[5])
  if redis.call('EXISTS', KEYS[3]) == 0 then
    return { 'none' }
  elseif shape and shape ~= ARGV[1] then
    return { 'foreign', shape }
  end
end
if ARGV[5] ~= '' and redis.call('EXISTS', KEYS[3]) == 1 then
  return { 'run', tonumber(ARGV[5]), 0 }
end
local begun_by = 'begun_by:' .. ARGV[3] .. ':' .. ARGV[4]
local is_new = ARGV[2] == 'new'
local begun = is_new and redis.call('HGET', KEYS[1], begun_by)
if begun then
  return { 'run', tonumber(begun), 0 }
end
local shape = redis.call('HGET', KEYS[1], 'shape')
if shape and shape ~= ARGV[1] and not is_new then
  return { 'foreign', shape }
end
local run = redis.call('HGET', KEYS[1], 'run')
local left = 0
if not run or is_new then
  if run and redis.call('HEXISTS', ARGV[6] .. run .. ':run', 'ended') == 0 then
    left = tonumber(run)
  end
  run = redis.call('HINCRBY', KEYS[1], 'run', 1)
  redis.call('HSET', KEYS[1], 'shape', ARGV[1], 'shape:' .. run, ARGV[1])
  if is_new then
    redis.call('HSET', KEYS[1], begun_by, run)
  end
  for n = 7, #ARGV do
    redis.call('HSET', KEYS[1], 'queue:' .. ARGV[n], 1)
  end
  redis.call('SADD', KEYS[2], run)
end
return { 'run', tonumber(run), left }
