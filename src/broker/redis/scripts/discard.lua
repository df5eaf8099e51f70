-- Dead letters are dropped for good; the queue counts them.
-- KEYS: about, letters   ARGV: ids…   -> how many there were
local dropped = redis.call('XDEL', KEYS[2], unpack(ARGV))
if dropped > 0 then
  redis.call('HINCRBY', KEYS[1], 'letters_dropped', dropped)
end
return dropped
