-- A machine leaves: what it holds goes back, and it has no life any more.
-- Invariant: a consumer is deleted only with nothing pending, as XGROUP DELCONSUMER would take its entries away.
-- KEYS: machines, then for each queue: stream, about   ARGV: machine, life   -> items that went back
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 0
end
local consumer, given = ARGV[1] .. ':' .. ARGV[2], 0
for n = 2, #KEYS, 2 do
  local released = release_all(KEYS[n], consumer)
  if released > 0 then
    wake(KEYS[n + 1], 'takers_wait')
  end
  given = given + released
  redis.call('XGROUP', 'DELCONSUMER', KEYS[n], GROUP, consumer)
end
redis.call('HSET', KEYS[1], ARGV[1], 'left:' .. ARGV[2])
return given
