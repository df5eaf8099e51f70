-- Gives items back at once, so that no machine waits for a lease to expire.
-- Invariants: only the owner gives back. The delivery is taken back too: a machine that drains charges nothing.
-- The attempts that were begun stay with the item.
-- KEYS: stream, about, attempts   ARGV: consumer, then id, attempts, …   -> how many were the consumer's
local given = 0
for n = 2, #ARGV, 2 do
  local id, tried = ARGV[n], ARGV[n + 1]
  local count = deliveries(KEYS[1], id, ARGV[1])
  if count then
    redis.call('XCLAIM', KEYS[1], GROUP, NOBODY, 0, id, 'RETRYCOUNT', math.max(count - 1, 0), 'JUSTID')
    if tried ~= '0' then
      redis.call('HSET', KEYS[3], id, tried)
    end
    given = given + 1
  end
end
if given > 0 then
  wake(KEYS[2], 'takers_wait')
end
return given
