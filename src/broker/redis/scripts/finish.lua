-- The run has ended, once every queue of it is sealed and empty.
-- Invariant: the time of the end is set once.
-- KEYS: run, then for each queue: stream, about   -> 1 if it has ended
for n = 2, #KEYS, 2 do
  if redis.call('HEXISTS', KEYS[n + 1], 'sealed') == 0 or redis.call('XLEN', KEYS[n]) > 0 then
    return 0
  end
end
write_when_full(KEYS[1])
redis.call('HSETNX', KEYS[1], 'ended', redis.call('TIME')[1])
return 1
