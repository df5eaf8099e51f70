-- Dead letters become items of their queue again, each in one step: the letter is gone when its item is there.
-- Invariants: put = done + dead + dropped + length, as `dead` goes back by one with each. A queue that has ended gets none.
-- Its capacity does not count: the item was in the server's memory as a letter, and under backpressure there would never be room.
-- Where memory is full the first write (XADD) is refused, and nothing has happened to that letter.
-- KEYS: stream, about, letters   ARGV: ids…   -> for each "put", "missing" or "ended"
local answers = {}
for n, id in ipairs(ARGV) do
  local letter = redis.call('XRANGE', KEYS[3], id, id)[1]
  if not letter then
    answers[n] = 'missing'
  elseif redis.call('XLEN', KEYS[1]) == 0 and redis.call('HEXISTS', KEYS[2], 'sealed') == 1 then
    answers[n] = 'ended'
  else
    redis.call('XADD', KEYS[1], '*', 'item', letter[2][2])
    redis.call('XDEL', KEYS[3], id)
    redis.call('HINCRBY', KEYS[2], 'dead', -1)
    wake(KEYS[2], 'takers_wait')
    answers[n] = 'put'
  end
end
return answers
