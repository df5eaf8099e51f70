-- What a machine shows of itself. How long ago that was, its time to live tells: by the server's clock, as all times here.
-- Invariants: only the present life of a machine shows itself. Where memory is full, the text of before stays, and begins anew
-- to live: no machine falls silent for that.
-- KEYS: machines, seen   ARGV: machine, life, text, ms that it lives   -> 1, or "superseded"
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 'superseded'
end
local set = redis.pcall('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
if set.err then
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
end
return 1
