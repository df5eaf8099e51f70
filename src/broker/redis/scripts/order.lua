-- All machines that are there are told the same. Each finds it under its life, so one that comes back with another life is not bound
-- by it.
-- KEYS: machines, run   ARGV: order   -> how many machines
write_when_full(KEYS[2])
local all, told = redis.call('HGETALL', KEYS[1]), 0
for n = 1, #all, 2 do
  if not string.match(all[n + 1], '^%a+:') then
    redis.call('HSET', KEYS[2], 'order:' .. all[n] .. ':' .. all[n + 1], ARGV[1])
    told = told + 1
  end
end
return told
