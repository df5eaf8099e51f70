-- Takes up to n items for a consumer: those given back first, then those whose lease has expired, then new ones. Who looks for expired
-- leases finds what has lost its consumer as well.
-- Invariants: an entry is pending for one consumer at most. One that was delivered max_deliveries times, each time to a machine
-- that died of it or with it, becomes a dead letter. Fewer than n items mean that a message comes once there are more.
-- Times are the server's alone.
-- A life of the machine that another one has superseded takes nothing: it could do nothing with it.
-- A lease has expired after the longest ack_wait of the machines in the run: each extends its leases by its own.
-- Where all are new the transaction takes them, behind this script (see open): XREADGROUP, up to n, each with no attempt and one delivery.
-- KEYS: stream, about, attempts, letters, machines, run
-- ARGV: machine, life, n, 1: look for expired leases, max_deliveries, cause of the dead letter, 1: it is in a transaction
-- -> {{id, item, attempts, deliveries}, …}, or "superseded"
local stream, about, attempts, letters = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local consumer, n, most = ARGV[1] .. ':' .. ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[5])
if redis.call('HGET', KEYS[5], ARGV[1]) ~= ARGV[2] then
  return 'superseded'
end
local taken = {}

local function hand_out(entry, count)
  local tried = redis.call('HGET', attempts, entry[1])
  taken[#taken + 1] = { entry[1], entry[2][2], tonumber(tried or 0), count }
end

-- The claim comes before the letter: the first write of a script may be refused where memory is full, and a claim never is.
local function claim(id, count)
  if count >= most then
    redis.call('XCLAIM', stream, GROUP, consumer, 0, id, 'JUSTID')
    dead_letter(stream, about, letters, id, ARGV[6], redis.call('HGET', attempts, id) or 0)
    redis.call('HDEL', attempts, id)
    wake_writers(stream, about)
    return
  end
  local claimed = redis.call('XCLAIM', stream, GROUP, consumer, 0, id)
  if claimed[1] then
    hand_out(claimed[1], count + 1)
  end
end

-- Takes what was delivered and is pending no more, though it has not ended: somebody has deleted its consumer or acknowledged it, by hand
-- or with a tool. Each such entry lies before a pending entry, or behind the last one. A look walks past WALK pending entries; the next
-- look begins where this one ended.
local WALK = 10000
local function take_orphans()
  local most = math.min(n - #taken, redis.call('XLEN', stream) - redis.call('XPENDING', stream, GROUP)[1])
  local from, walked = redis.call('HGET', about, 'looked_to') or '-', 0
  local function take(to)
    for _, entry in ipairs(most > 0 and redis.call('XRANGE', stream, from, to, 'COUNT', most) or {}) do
      redis.call('XCLAIM', stream, GROUP, consumer, 0, entry[1], 'FORCE', 'RETRYCOUNT', 1, 'JUSTID')
      hand_out(entry, 1)
      most = most - 1
    end
  end
  while most > 0 and walked < WALK do
    local page = redis.call('XPENDING', stream, GROUP, from, '+', 100)
    for _, entry in ipairs(page) do
      take('(' .. entry[1])
      from = '(' .. entry[1]
    end
    walked = walked + #page
    if #page == 0 then
      take(last_delivered(stream))
      most = 0
    end
  end
  write_when_full(about)
  if most > 0 then
    redis.call('HSET', about, 'looked_to', from)
  else
    redis.call('HDEL', about, 'looked_to')
  end
end

-- By a clock that has gone back all leases would last for so much longer: they begin anew.
local function follow_clock(ack_wait)
  local now, before = now_ms(), tonumber(redis.call('HGET', about, 'looked_at') or 0)
  write_when_full(about)
  redis.call('HSET', about, 'looked_at', string.format('%.0f', now))
  local from = before > now + ack_wait and '-'
  while from do
    local page = redis.call('XPENDING', stream, GROUP, from, '+', 100)
    for _, entry in ipairs(page) do
      redis.call('XCLAIM', stream, GROUP, entry[2], 0, entry[1], 'JUSTID')
    end
    from = page[1] and '(' .. page[#page][1]
  end
end

for _, entry in ipairs(redis.call('XPENDING', stream, GROUP, '-', '+', n, NOBODY)) do
  claim(entry[1], entry[4])
end
if ARGV[4] == '1' and #taken < n then
  local ack_wait = tonumber(redis.call('HGET', KEYS[6], 'ack_wait'))
  follow_clock(ack_wait)
  for _, entry in ipairs(redis.call('XPENDING', stream, GROUP, 'IDLE', ack_wait, '-', '+', n - #taken)) do
    claim(entry[1], entry[4])
  end
  take_orphans()
end
-- Those that no machine has had yet: what is in the stream and not pending.
local coming = math.min(n - #taken, redis.call('XLEN', stream) - redis.call('XPENDING', stream, GROUP)[1])
if coming > 0 and (#taken > 0 or ARGV[7] == '0') then
  local new = redis.call('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', coming, 'STREAMS', stream, '>')
  for _, entry in ipairs(new and new[1][2] or {}) do
    hand_out(entry, 1)
  end
  coming = 0
end
if #taken + coming > 0 then
  wake_writers(stream, about, coming)
end
if #taken + coming < n and redis.call('HEXISTS', about, 'takers_wait') == 0 then
  write_when_full(about)
  redis.call('HSET', about, 'takers_wait', 1)
end
if coming > 0 then
  open(stream)
end
return taken
