-- What the scripts share. It stands before each of them.
-- A machine's consumer is MACHINE:LIFE. What was given back is pending for the consumer NOBODY until a machine takes it, so a
-- stream's length is what waits and what is leased, and an entry leaves it by acknowledgement only.
local GROUP, NOBODY = 'mprun', '-'

-- A server whose memory is full refuses the first write of a script, if it is one that adds. Scripts without which machines could take
-- nothing out begin with this one: it takes away, and changes nothing.
local function write_when_full(hash)
  redis.call('HDEL', hash, '')
end

-- A server may lack a command, and a user the right to it, from any time on. In a script that is found out by the command's own call only, and what
-- the script has written before stays. So scripts try what they need first, in a way of which nothing comes. Returns the refusal, an error.
local function refusal(commands)
  for _, command in ipairs(commands) do
    local answer = redis.pcall(unpack(command))
    local why = type(answer) == 'table' and answer.err or ''
    if string.find(why, 'NOPERM', 1, true) or string.find(why, 'ser executing the script', 1, true) then
      return redis.error_reply('NOPERM the user has no right to ' .. command[1] .. ' there')
    elseif string.find(why, 'nknown Redis command', 1, true) then
      return redis.error_reply('NOCOMMAND ' .. command[1])
    elseif string.find(why, 'MISCONF', 1, true) then
      return answer
    end
  end
end

-- What is long costs too much in a script: Lua copies each byte of it and hashes it. So it goes by plain commands, behind a script and
-- in one transaction with it. They find the stream under this name only, so a script that does not get here has let nothing happen.
-- Behind them the transaction gives the stream its name back (join.lua, should the server have kept half of a transaction).
local function open(stream)
  redis.call('RENAME', stream, stream .. ':open')
end

-- How often an entry was delivered, if it is pending for the consumer.
local function deliveries(stream, id, consumer)
  local found = redis.call('XPENDING', stream, GROUP, id, id, 1, consumer)
  return found[1] and found[1][4]
end

-- Gives back all that a consumer holds: its deliveries stay counted, as nothing says that it was innocent. The writers of that life
-- (MACHINE/STAGE:LIFE) go with it.
local function release_all(stream, writers, consumer)
  local released, machine, life = 0, string.match(consumer, '^(.-):(.*)$')
  for _, writer in ipairs(redis.call('HKEYS', writers)) do
    if string.sub(writer, 1, #machine + 1) == machine .. '/' and string.sub(writer, -#life - 1) == ':' .. life then
      redis.call('HDEL', writers, writer)
    end
  end
  repeat
    local held = redis.call('XPENDING', stream, GROUP, '-', '+', 100, consumer)
    for _, entry in ipairs(held) do
      redis.call('XCLAIM', stream, GROUP, NOBODY, 0, entry[1], 'RETRYCOUNT', entry[4], 'JUSTID')
    end
    released = released + #held
  until #held == 0
  return released
end

-- A machine's claims to stages that work on one machine at a time are free. Returns how many it had.
local function free_claims(claims, machine)
  local all, freed = redis.call('HGETALL', claims), 0
  for n = 1, #all, 2 do
    if string.match(all[n + 1], '^%d+ (.*):') == machine then
      redis.call('HDEL', claims, all[n])
      freed = freed + 1
    end
  end
  return freed
end

-- How many entries machines have. None where somebody has deleted the group.
local function leased(stream)
  local pending, given_back = redis.pcall('XPENDING', stream, GROUP), 0
  if pending.err then
    return string.find(pending.err, 'NOGROUP', 1, true) and 0 or redis.call('XPENDING', stream, GROUP)
  end
  for _, consumer in ipairs(pending[4] or {}) do
    if consumer[1] == NOBODY then
      given_back = tonumber(consumer[2])
    end
  end
  return pending[1] - given_back
end

-- Wakes the machines that wait for items (takers_wait) or room (writers_wait) of a queue. The flag spares the message when
-- no machine waits: it is set by the refusal, and cleared here, in one step with what ends the wait.
local function wake(about, flag)
  if redis.call('HDEL', about, flag) == 1 then
    redis.call('PUBLISH', about, flag)
  end
end

-- The same for room: writers_wait is the greatest length of the stream at which a commit that found none has room. To wake its
-- machine for less would send all of the commit in vain. Where none of the entries waits there is room as well. So many entries more
-- are leased once the transaction is over.
local function wake_writers(stream, about, coming)
  local fits_at = redis.call('HGET', about, 'writers_wait')
  if not fits_at then
    return
  end
  local length = redis.call('XLEN', stream)
  if length <= tonumber(fits_at) or length == leased(stream) + (coming or 0) then
    wake(about, 'writers_wait')
  end
end

-- The id of the last entry that was delivered for the first time. What else a group says of itself is wrong after some restarts: up to Redis 7.2
-- its `lag` counts what was delivered since the file was written anew.
local function last_delivered(stream)
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local value = {}
    for n = 1, #group, 2 do
      value[group[n]] = group[n + 1]
    end
    if value.name == GROUP then
      return value['last-delivered-id']
    end
  end
end

-- The end of an entry as a dead letter: the item is copied, with its cause.
local function dead_letter(stream, about, letters, id, cause, attempts)
  local entry = redis.call('XRANGE', stream, id, id)[1]
  if entry then
    redis.call('XADD', letters, '*', 'item', entry[2][2], 'cause', cause, 'attempts', attempts, 'sequence', id)
    redis.call('HINCRBY', about, 'dead', 1)
  end
  redis.call('XACK', stream, GROUP, id)
  redis.call('XDEL', stream, id)
end

-- The counters of a queue, kept by the scripts: put = done + dead + dropped + length, and of the length some are leased.
local function ledger(stream, about)
  local counts = redis.call('HMGET', about, 'put', 'done', 'dead', 'dropped')
  for n = 1, 4 do
    counts[n] = tonumber(counts[n] or 0)
  end
  counts[5], counts[6] = redis.call('XLEN', stream), leased(stream)
  return counts
end

-- How long ago a machine has shown itself (show.lua), and nil where it has not. What lives longer than it may is of a clock that has gone back since,
-- and of a machine that has not shown itself after that.
local function ms_since_shown(seen, lives)
  local left_to_live = redis.call('PTTL', seen)
  if left_to_live > 0 and left_to_live <= tonumber(lives) then
    return lives - left_to_live
  end
end

-- The server's clock is the only one.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

