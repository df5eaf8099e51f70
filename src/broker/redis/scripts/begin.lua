-- Which run a machine joins: the one that it is in, the latest, or a new one.
-- Invariant: the record has one shape, that of the shared queues of one file; another shape is another pipeline.
-- A run's number is never used twice. A life of a machine begins one run at most, however often it asks: the answer may have got lost,
-- and each new connection asks again. It stays in the run that it has joined, whatever run is the latest. A new life of a machine that
-- has not left its run, as it was killed, comes back to it, unless that has ended.
-- KEYS: pipeline, runs, the record of the run that it has joined or wants (any, if none)
-- ARGV: shape, "join", "new" or "only", machine, life, the number of that run or "", what the keys of runs begin with, the names of the
--   queues…
-- -> {"run", number, number of the run before it, or of the latest, if that has not ended, or 0}, {"foreign", shape of the record}
--   or {"none"}
local function is_open(number)
  return redis.call('HEXISTS', ARGV[6] .. number .. ':run', 'ended') == 0
end

local function holds(number)
  local shape = redis.call('HGET', KEYS[1], 'shape:' .. number)
  local life = redis.call('HGET', ARGV[6] .. number .. ':machines', ARGV[3])
  return (not shape or shape == ARGV[1]) and life and not string.find(life, ':') and is_open(number)
end

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
local run, own = redis.call('HGET', KEYS[1], 'run'), 0
for _, number in ipairs(is_new and {} or redis.call('SMEMBERS', KEYS[2])) do
  if holds(number) then
    own = math.max(own, tonumber(number))
  end
end
if own > 0 then
  local latest = tonumber(run)
  return { 'run', own, latest ~= own and is_open(run) and latest or 0 }
end
local shape = redis.call('HGET', KEYS[1], 'shape')
if shape and shape ~= ARGV[1] and not is_new then
  return { 'foreign', shape }
end
local left = 0
if not run or is_new then
  if run and is_open(run) then
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
