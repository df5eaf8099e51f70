-- What a machine is to know beside its items: whether somebody looks at the run, what all machines are told; and that it has
-- this life still.
-- KEYS: machines, watched, run   ARGV: machine, life   -> {1 if somebody looks, or 0; an order, or ""}, or "superseded"
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 'superseded'
end
local order = redis.call('HGET', KEYS[3], 'order:' .. ARGV[1] .. ':' .. ARGV[2])
return { redis.call('EXISTS', KEYS[2]), order or '' }
