-- A machine leaves, or is forgotten: what it holds goes back, what it has claimed is free. One that is forgotten has no life any
-- more, and no queue waits for its end.
-- Invariant: a consumer is deleted only with nothing pending, as XGROUP DELCONSUMER would take its entries away.
-- KEYS: machines, claims, then for each queue: stream, about, writers   ARGV: machine, "leave" or "forget"
local life = redis.call('HGET', KEYS[1], ARGV[1])
local given = 0
local claims = redis.call('HGETALL', KEYS[2])
for n = 1, #claims, 2 do
  if string.match(claims[n + 1], '^%d+ (.*):') == ARGV[1] then
    redis.call('HDEL', KEYS[2], claims[n])
  end
end
for n = 3, #KEYS, 3 do
  local stream, about, writers = KEYS[n], KEYS[n + 1], KEYS[n + 2]
  if life then
    local consumer = ARGV[1] .. ':' .. life
    local released = release_all(stream, consumer)
    if released > 0 then
      wake(about, 'takers_wait')
    end
    given = given + released
    redis.call('XGROUP', 'DELCONSUMER', stream, GROUP, consumer)
  end
  if #claims > 0 then
    redis.call('PUBLISH', about, 'claims')
  end
  if ARGV[2] == 'forget' then
    for _, writer in ipairs(redis.call('HKEYS', writers)) do
      if string.sub(writer, 1, #ARGV[1] + 1) == ARGV[1] .. '/' then
        redis.call('HDEL', writers, writer)
      end
    end
  end
end
if ARGV[2] == 'forget' then
  redis.call('HDEL', KEYS[1], ARGV[1])
end
return given
