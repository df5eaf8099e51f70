-- The position of a stage, for a machine that is to work on from it. A stage that runs on one machine at a time is claimed as well:
-- taken, kept, or another's.
-- Invariants: no two machines have a claim at one time. It keeps machines from working in vain; that nothing happens twice is the
-- step's to see to: commit.lua refuses one that does not begin at the position.
-- A life of the machine that another one has superseded gets nothing; the claim of such a life is this one's.
-- A claim that lasts longer than the longest ack_wait of the machines in the run is of a clock that has gone back since: it is none.
-- KEYS: machines, claims, positions, run   ARGV: machine, life, place of the stage, ms that the claim lasts (0: there is none)
-- -> position, 0: it is another's, -1: superseded
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return -1
end
if ARGV[4] ~= '0' then
  local now = now_ms()
  local till, machine = string.match(redis.call('HGET', KEYS[2], ARGV[3]) or '0 :', '^(%d+) (.*):')
  local longest = math.max(ARGV[4], redis.call('HGET', KEYS[4], 'ack_wait') or 0)
  if machine ~= ARGV[1] and tonumber(till) > now and tonumber(till) <= now + longest then
    return 0
  end
  write_when_full(KEYS[2])
  redis.call('HSET', KEYS[2], ARGV[3], string.format('%.0f %s:%s', now + ARGV[4], ARGV[1], ARGV[2]))
end
return redis.call('HGET', KEYS[3], ARGV[3]) or ''
