-- A machine leaves, or is forgotten: what it holds goes back, its marks are struck off, and it has no life any more.
-- Invariant: a consumer is deleted only with nothing pending, as XGROUP DELCONSUMER would take its entries away.
-- KEYS: machines, then for each queue: stream, about, writers   ARGV: machine, "leave" or "forget"
local life = redis.call('HGET', KEYS[1], ARGV[1])
local given = 0
for n = 2, #KEYS, 3 do
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
