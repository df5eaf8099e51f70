-- Extends leases, of their owner alone: XCLAIM by itself would steal an entry back from the machine that has it now.
-- Invariant: no entry changes its consumer here, and no delivery is counted.
-- KEYS: stream   ARGV: consumer, ids…   -> the ids that are no longer the consumer's
local lost = {}
for n = 2, #ARGV do
  if deliveries(KEYS[1], ARGV[n], ARGV[1]) then
    redis.call('XCLAIM', KEYS[1], GROUP, ARGV[1], 0, ARGV[n], 'JUSTID')
  else
    lost[#lost + 1] = ARGV[n]
  end
end
return lost
