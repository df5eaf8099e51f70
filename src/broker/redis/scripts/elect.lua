-- The lease of a stage that runs on one machine: taken, kept, or another's.
-- Invariant: the epoch rises whenever the holder changes, and commit.lua refuses what a former holder brings.
-- KEYS: epochs   ARGV: stage, consumer, ms that it is held for   -> {epoch, 1 if the consumer has it}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local record = redis.call('HGET', KEYS[1], ARGV[1])
local epoch, till, holder = string.match(record or '0 0 ', '^(%d+) (%d+) (.*)$')
epoch = tonumber(epoch)
if holder ~= ARGV[2] then
  if tonumber(till) > now then
    return { epoch, 0 }
  end
  epoch = epoch + 1
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d %.0f %s', epoch, now + ARGV[3], ARGV[2]))
return { epoch, 1 }
