-- A machine that is gone for good is struck off: what it holds goes back at once, what it has claimed
-- is free, and its writers count as ended.
-- Invariants: a machine that has shown itself lately is not struck off, but for one that has left. Its life is no life any more:
-- commit.lua and take.lua refuse it, and join.lua does, should it come back; its next life may join. A queue keeps a writer that
-- was struck off: one without any would wait for its writers.
-- It may be done again at any time: what has happened is found done.
-- KEYS: machines, seen, claims, then for each queue: stream, about, writers
-- ARGV: machine, ms that what it shows lives, ms without a word after which it may be gone
-- -> {"unknown"}, {"alive", ms since it has shown itself}, {"struck", {items of each queue}, {queue, writer, …}}
local record = redis.call('HGET', KEYS[1], ARGV[1])
if not record then
  return { 'unknown' }
end
local standing, life = string.match(record, '^(%a+):(.*)$')
local age = ms_since_shown(KEYS[2], ARGV[2])
if not standing and age and age < tonumber(ARGV[3]) then
  return { 'alive', age }
end
life = life or record
write_when_full(KEYS[1])
redis.call('HSET', KEYS[1], ARGV[1], 'struck:' .. life)
local consumer = ARGV[1] .. ':' .. life
local items, struck = {}, {}
local freed = free_claims(KEYS[3], ARGV[1])
for n = 4, #KEYS, 3 do
  local stream, about, writers = KEYS[n], KEYS[n + 1], KEYS[n + 2]
  local released = release_all(stream, writers, consumer)
  items[#items + 1] = released
  if released > 0 then
    wake(about, 'takers_wait')
  end
  if freed > 0 then
    redis.call('PUBLISH', about, 'claims')
  end
  redis.call('XGROUP', 'DELCONSUMER', stream, GROUP, consumer)
  local all = redis.call('HGETALL', writers)
  for w = 1, #all, 2 do
    if string.sub(all[w], 1, #ARGV[1] + 1) == ARGV[1] .. '/' and all[w + 1] == 'open' then
      redis.call('HSET', writers, all[w], 'struck')
      struck[#struck + 1], struck[#struck + 2] = (n - 4) / 3, string.sub(all[w], #ARGV[1] + 2)
    end
  end
end
return { 'struck', items, struck }
