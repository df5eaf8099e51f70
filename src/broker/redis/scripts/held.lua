-- What is pending for a consumer: after a lost connection, that may be more or less than the machine knows of.
-- KEYS: stream   ARGV: consumer   -> ids
local ids, from = {}, '-'
repeat
  local found = redis.call('XPENDING', KEYS[1], GROUP, from, '+', 1000, ARGV[1])
  for _, entry in ipairs(found) do
    ids[#ids + 1] = entry[1]
    from = '(' .. entry[1]
  end
until #found == 0
return ids
