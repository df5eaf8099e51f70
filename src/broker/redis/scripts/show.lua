-- What a machine shows of itself. How long ago that was, its time to live tells: by the server's clock, as all times here.
-- Invariants: only the present life of a machine shows itself. It does so where memory is full as well: that is what others are to see.
-- The text takes the place of the one before.
-- KEYS: machines, seen   ARGV: machine, life, text, ms that it lives   -> 1, or "superseded"
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 'superseded'
end
write_when_full(KEYS[1])
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
return 1
