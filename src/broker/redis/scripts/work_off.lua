-- The run that takes dead letters: the latest, or a new one that works off letters where that has ended.
-- Invariants: a run that has ended stays so. A run that works off letters has no sources, so a queue that only they write is sealed from
-- its beginning. A run's number is never used twice.
-- KEYS: pipeline, runs, record of the run, record of the next run, then for each queue of the next run: stream, about
-- ARGV: number of the run, then for each queue: name, capacity, "wait" or "drop", 1: only sources write it
-- -> {number, 1: it works off letters}
local run = tonumber(redis.call('HGET', KEYS[1], 'run'))
if run ~= tonumber(ARGV[1]) then
  -- Another run was begun meanwhile: the next look for the latest run finds it.
  return { tonumber(ARGV[1]), 0 }
elseif redis.call('HEXISTS', KEYS[3], 'ended') == 0 then
  return { run, redis.call('HEXISTS', KEYS[3], 'works_off') }
end
redis.call('HSET', KEYS[1], 'run', run + 1)
redis.call('SADD', KEYS[2], run + 1)
redis.call('HSET', KEYS[4], 'begun', string.format('%.0f', now_ms()), 'works_off', 1)
for q = 0, (#KEYS - 4) / 2 - 1 do
  local stream, about = KEYS[5 + 2 * q], KEYS[6 + 2 * q]
  redis.call('XGROUP', 'CREATE', stream, GROUP, '0', 'MKSTREAM')
  redis.call('HSET', about, 'name', ARGV[2 + 4 * q], 'capacity', ARGV[3 + 4 * q], 'when_full', ARGV[4 + 4 * q], 'works_off', 1)
  if ARGV[5 + 4 * q] == '1' then
    redis.call('HSET', about, 'sealed', 1)
  end
end
return { run + 1, 1 }
