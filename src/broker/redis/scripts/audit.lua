-- A queue's ledger at one moment. The scripts keep it, so put = done + dead + dropped + waiting + leased.
-- KEYS: stream, about   -> {put, done, dead, dropped, length, leased}
local about = redis.call('HMGET', KEYS[2], 'put', 'done', 'dead', 'dropped')
local pending = redis.call('XPENDING', KEYS[1], GROUP)
local given_back = 0
for _, consumer in ipairs(pending[4] or {}) do
  if consumer[1] == NOBODY then
    given_back = tonumber(consumer[2])
  end
end
local counts = {}
for n = 1, 4 do
  counts[n] = tonumber(about[n] or 0)
end
counts[5] = redis.call('XLEN', KEYS[1])
counts[6] = pending[1] - given_back
return counts
