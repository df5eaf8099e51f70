-- A machine leaves: what it holds goes back, what it has claimed is free, and it has no life any more.
-- Invariant: a consumer is deleted only with nothing pending, as XGROUP DELCONSUMER would take its entries away.
-- KEYS: machines, claims, then for each queue: stream, about, writers   ARGV: machine, life   -> items that went back
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 0
end
local consumer, given = ARGV[1] .. ':' .. ARGV[2], 0
local freed = free_claims(KEYS[2], ARGV[1])
for n = 3, #KEYS, 3 do
  local stream, about = KEYS[n], KEYS[n + 1]
  local released = release_all(stream, KEYS[n + 2], consumer)
  if released > 0 then
    wake(about, 'takers_wait')
  end
  if freed > 0 then
    redis.call('PUBLISH', about, 'claims')
  end
  given = given + released
  redis.call('XGROUP', 'DELCONSUMER', stream, GROUP, consumer)
end
redis.call('HSET', KEYS[1], ARGV[1], 'left:' .. ARGV[2])
return given
