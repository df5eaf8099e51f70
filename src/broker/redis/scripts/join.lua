-- A machine joins a run: its queues are there, and what an earlier life of it held is given back.
-- Invariants: a machine has one life, the last that joined (commit.lua refuses the others). A queue has one group, made at 0:
--   somebody may have deleted it.
-- A life that was struck off (forget.lua) does not come back. A run that has ended is joined only by a machine that was in it
-- and has not left.
-- The settings of a queue are the run's: they change once the files of all machines in the run say the same (declared). A new life is
-- refused where its file would drop items that the run keeps, or keep what it drops; nothing has changed then. The longest ack_wait counts.
-- KEYS: run, machines, then for each queue: stream, about, writers
-- ARGV: machine, life, ack_wait in ms, then for each queue: name, capacity, "wait" or "drop"
-- -> {ms when it began, s when it ended or 0, 1: the machine was in it and has not left, 1: it works off letters,
--   {capacity, "wait" or "drop", …} of each queue in this run}, {"struck"}, or {"differs", number of the queue}
write_when_full(KEYS[1])
local before = redis.call('HGET', KEYS[2], ARGV[1])
if before == 'struck:' .. ARGV[2] then
  return { 'struck' }
end
local has_not_left = before and not string.find(before, '^left:') and not string.find(before, '^struck:')
local queues = {}
for q = 1, (#KEYS - 2) / 3 do
  queues[q] = {
    stream = KEYS[3 * q], about = KEYS[3 * q + 1], writers = KEYS[3 * q + 2],
    name = ARGV[1 + 3 * q], capacity = ARGV[2 + 3 * q], when_full = ARGV[3 + 3 * q],
  }
end
-- The other machines in the run.
local others, all = {}, redis.call('HGETALL', KEYS[2])
for n = 1, #all, 2 do
  if all[n] ~= ARGV[1] and not string.match(all[n + 1], '^%a+:') then
    others[#others + 1] = all[n]
  end
end

local function declared(queue)
  return queue.capacity .. ' ' .. queue.when_full
end

local function all_declare(queue)
  for _, machine in ipairs(others) do
    if redis.call('HGET', queue.about, 'declared:' .. machine) ~= declared(queue) then
      return false
    end
  end
  return true
end

local function is_refused()
  for q, queue in ipairs(queues) do
    local when_full = redis.call('HGET', queue.about, 'when_full')
    if when_full and when_full ~= queue.when_full and not all_declare(queue) then
      return q
    end
  end
end

local function settings()
  local list = {}
  for _, queue in ipairs(queues) do
    local now = redis.call('HMGET', queue.about, 'capacity', 'when_full')
    list[#list + 1], list[#list + 2] = now[1] or queue.capacity, now[2] or queue.when_full
  end
  return list
end

redis.call('HSETNX', KEYS[1], 'begun', string.format('%.0f', now_ms()))
local began, ended = tonumber(redis.call('HGET', KEYS[1], 'begun')), tonumber(redis.call('HGET', KEYS[1], 'ended') or 0)
local works_off = redis.call('HEXISTS', KEYS[1], 'works_off')
if ended > 0 and not has_not_left then
  return { began, ended, 0, works_off, settings() }
end
local refused = before ~= ARGV[2] and is_refused()
if refused then
  return { 'differs', refused - 1 }
end
for _, queue in ipairs(queues) do
  local stream, about = queue.stream, queue.about
  if redis.call('EXISTS', stream) == 0 and redis.call('EXISTS', stream .. ':open') == 1 then
    redis.call('RENAME', stream .. ':open', stream)
  end
  local made = redis.pcall('XGROUP', 'CREATE', stream, GROUP, '0', 'MKSTREAM')
  if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then
    return made
  end
  redis.call('HSET', about, 'name', queue.name, 'declared:' .. ARGV[1], declared(queue))
  if all_declare(queue) then
    redis.call('HSET', about, 'capacity', queue.capacity, 'when_full', queue.when_full)
    wake(about, 'writers_wait')
  end
  if before and before ~= ARGV[2] and release_all(stream, queue.writers, ARGV[1] .. ':' .. before) > 0 then
    wake(about, 'takers_wait')
  end
end
local longest = tonumber(ARGV[3])
for _, machine in ipairs(others) do
  longest = math.max(longest, tonumber(redis.call('HGET', KEYS[1], 'ack_wait:' .. machine) or 0))
end
redis.call('HSET', KEYS[1], 'ack_wait:' .. ARGV[1], ARGV[3], 'ack_wait', longest)
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return { began, ended, has_not_left and 1 or 0, works_off, settings() }
