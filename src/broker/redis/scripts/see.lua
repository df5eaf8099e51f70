-- What the broker knows of a run's queues, at one moment.
-- KEYS: run, then for each queue: stream, about, letters, writers
-- -> {ms of the server's clock, when the run began, when it ended or 0, queues, 1: it works off letters}, each queue as
--   {{put, done, dead, dropped, length, leased}, {capacity or 0, sealed, letters, letters dropped, ms of the oldest that waits or 0},
--    {consumer, leased, …}, {writer, "open", "ended" or "struck", …}}
local function ms_of(id)
  return tonumber(string.match(id, '^%d+'))
end

local function oldest(stream)
  local last = last_delivered(stream)
  local given_back = last and redis.call('XPENDING', stream, GROUP, '-', '+', 1, NOBODY)[1]
  local new = redis.call('XRANGE', stream, last and '(' .. last or '-', '+', 'COUNT', 1)[1]
  local times = {}
  for _, entry in ipairs({ given_back or new, new or given_back }) do
    times[#times + 1] = ms_of(entry[1])
  end
  return times[1] and math.min(times[1], times[2]) or 0
end

local function leased(stream)
  local all = {}
  for _, consumer in ipairs(last_delivered(stream) and redis.call('XPENDING', stream, GROUP)[4] or {}) do
    if consumer[1] ~= NOBODY then
      all[#all + 1], all[#all + 2] = consumer[1], consumer[2]
    end
  end
  return all
end

local function queue(stream, about, letters, writers)
  if redis.call('EXISTS', stream) == 0 then
    return { { 0, 0, 0, 0, 0, 0 }, { 0, 0, 0, 0, 0 }, {}, {} }
  end
  local said = redis.call('HMGET', about, 'capacity', 'letters_dropped')
  return {
    ledger(stream, about),
    { tonumber(said[1] or 0), redis.call('HEXISTS', about, 'sealed'), redis.call('XLEN', letters), tonumber(said[2] or 0),
      oldest(stream) },
    leased(stream),
    redis.call('HGETALL', writers),
  }
end

local queues = {}
for n = 2, #KEYS, 4 do
  queues[#queues + 1] = queue(KEYS[n], KEYS[n + 1], KEYS[n + 2], KEYS[n + 3])
end
local run = redis.call('HMGET', KEYS[1], 'begun', 'ended')
return { now_ms(), math.floor(tonumber(run[1] or 0) / 1000), tonumber(run[2] or 0), queues, redis.call('HEXISTS', KEYS[1], 'works_off') }
