-- A machine joins a run: its queues are there, and what an earlier life of it held is given back.
-- Invariants: a machine has one life, the last that joined (commit.lua refuses the others). A queue has one group, made at 0.
-- A life that was struck off (forget.lua) does not come back. A run that has ended is joined only by a machine that was in it
-- and has not left.
-- KEYS: run, machines, then for each queue: stream, about, writers
-- ARGV: machine, life, then for each queue: name, capacity, "wait" or "drop"
-- -> {ms when it began, s when it ended or 0, 1: the machine was in it and has not left, 1: it works off letters}, or {"struck"}
write_when_full(KEYS[1])
redis.call('HSETNX', KEYS[1], 'begun', string.format('%.0f', now_ms()))
local before = redis.call('HGET', KEYS[2], ARGV[1])
if before == 'struck:' .. ARGV[2] then
  return { 'struck' }
end
local began, ended = tonumber(redis.call('HGET', KEYS[1], 'begun')), tonumber(redis.call('HGET', KEYS[1], 'ended') or 0)
local works_off = redis.call('HEXISTS', KEYS[1], 'works_off')
local has_not_left = before and not string.find(before, '^left:') and not string.find(before, '^struck:')
if ended > 0 and not has_not_left then
  return { began, ended, 0, works_off }
end
for q = 0, (#KEYS - 2) / 3 - 1 do
  local stream, about, writers = KEYS[3 + 3 * q], KEYS[4 + 3 * q], KEYS[5 + 3 * q]
  local name, capacity, when_full = ARGV[3 + 3 * q], ARGV[4 + 3 * q], ARGV[5 + 3 * q]
  if redis.call('EXISTS', stream) == 0 then
    redis.call('XGROUP', 'CREATE', stream, GROUP, '0', 'MKSTREAM')
  end
  redis.call('HSET', about, 'name', name, 'capacity', capacity, 'when_full', when_full)
  if before and before ~= ARGV[2] and release_all(stream, writers, ARGV[1] .. ':' .. before) > 0 then
    wake(about, 'takers_wait')
  end
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return { began, ended, has_not_left and 1 or 0, works_off }
