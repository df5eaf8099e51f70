-- What a machine is to know beside its items: whether somebody looks at the run; and that it has this life still.
-- KEYS: machines, watched   ARGV: machine, life   -> 1 if somebody looks, 0, or "superseded"
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 'superseded'
end
return redis.call('EXISTS', KEYS[2])
