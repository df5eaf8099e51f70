-- Dead letters become items of their queue in the latest run, each in one step: the letter is gone when its item is there.
-- Invariants: put = done + dead + dropped + length, for each run: of the same run `dead` goes back by one with each; one of an earlier
-- run leaves that one, as if it was dropped there, and is put into the latest. A queue that has ended gets none: but in a run that works
-- off letters, before the first machine has joined it, no queue has ended.
-- Its capacity does not count: the item was in the server's memory as a letter, and under backpressure there would never be room.
-- Where memory is full the first write (XADD) is refused, and nothing has happened to that letter.
-- KEYS: about and letters of the letter's run, then of the latest run: stream, about, machines; pipeline
-- ARGV: number of the latest run, ids…   -> for each "put", "missing", "ended" or "outrun": the run is not the latest
local old, letters, stream, about = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local is_latest = redis.call('HGET', KEYS[6], 'run') == ARGV[1]
local is_unjoined = redis.call('HEXISTS', about, 'works_off') == 1 and redis.call('EXISTS', KEYS[5]) == 0

local function put_back(id)
  local letter = redis.call('XRANGE', letters, id, id)[1]
  if not letter then
    return 'missing'
  elseif not is_latest then
    return 'outrun'
  elseif not is_unjoined and redis.call('XLEN', stream) == 0 and redis.call('HEXISTS', about, 'sealed') == 1 then
    return 'ended'
  end
  redis.call('XADD', stream, '*', 'item', letter[2][2])
  redis.call('XDEL', letters, id)
  if old == about then
    redis.call('HINCRBY', about, 'dead', -1)
  else
    redis.call('HINCRBY', old, 'letters_dropped', 1)
    redis.call('HINCRBY', about, 'put', 1)
  end
  wake(about, 'takers_wait')
  return 'put'
end

local answers = {}
for n = 2, #ARGV do
  answers[n - 1] = put_back(ARGV[n])
end
return answers
