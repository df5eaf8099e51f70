-- A machine gives up its claim to a stage, and others look for it.
-- KEYS: claims, then for each queue: about   ARGV: consumer, place of the stage   -> 1 if it had the claim
local holder = string.match(redis.call('HGET', KEYS[1], ARGV[2]) or '', '^%d+ (.*)$')
if holder ~= ARGV[1] then
  return 0
end
redis.call('HDEL', KEYS[1], ARGV[2])
for n = 2, #KEYS do
  redis.call('PUBLISH', KEYS[n], 'claims')
end
return 1
