-- How far a queue is: open; sealed, so nothing more comes; all leased, so none of its items waits; finished, so none is there.
-- Invariants: it is sealed once, when all its writers have marked their ends and all queues before it are finished. A queue
-- without a writer and without a queue before it is open: its writers have yet to come.
-- KEYS: stream, about, writers, then for each queue before it: stream, about   -> 0, 1, 2, 3
local function is_finished(stream, about)
  return redis.call('HEXISTS', about, 'sealed') == 1 and redis.call('XLEN', stream) == 0
end

local function may_be_sealed()
  local writers = redis.call('HVALS', KEYS[3])
  for _, writer in ipairs(writers) do
    if writer == 'open' then
      return false
    end
  end
  for n = 4, #KEYS, 2 do
    if not is_finished(KEYS[n], KEYS[n + 1]) then
      return false
    end
  end
  return #writers > 0 or #KEYS > 3
end

if redis.call('HEXISTS', KEYS[2], 'sealed') == 0 then
  if not may_be_sealed() then
    return 0
  end
  write_when_full(KEYS[2])
  redis.call('HSET', KEYS[2], 'sealed', 1)
  redis.call('PUBLISH', KEYS[2], 'sealed')
end
local counts = ledger(KEYS[1], KEYS[2])
if counts[5] == 0 then
  return 3
end
return counts[5] == counts[6] and 2 or 1
