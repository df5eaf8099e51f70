-- Tries each command that a script calls, at each connection: a right that is missing is found before anything is written.
-- It leaves nothing behind.
-- KEYS: a key of its own   -> 1, or an error
local key = KEYS[1]
local all = {
  { 'HDEL', key, '' }, -- first: see write_when_full
  { 'SET', key, '', 'PX', 1000 },
  { 'EXISTS', key }, { 'PTTL', key }, { 'TIME' },
  { 'HEXISTS', key, '' }, { 'HGET', key, '' }, { 'HGETALL', key }, { 'HINCRBY', key, '', 0 }, { 'HKEYS', key },
  { 'HMGET', key, '' }, { 'HSET', key, '', '' }, { 'HSETNX', key, '', '' }, { 'HVALS', key },
  { 'PUBLISH', key, '' }, { 'RENAME', key, key }, { 'SADD', key, '' }, { 'SMEMBERS', key },
  { 'XACK', key, GROUP, '0-1' }, { 'XADD', key, '*', '', '' }, { 'XCLAIM', key, GROUP, NOBODY, 0, '0-1' }, { 'XDEL', key, '0-1' },
  { 'XGROUP', 'CREATE', key, GROUP, '0' }, { 'XGROUP', 'DELCONSUMER', key, GROUP, NOBODY }, { 'XINFO', 'GROUPS', key },
  { 'XLEN', key }, { 'XPENDING', key, GROUP }, { 'XRANGE', key, '-', '+', 'COUNT', 1 },
  { 'XREADGROUP', 'GROUP', GROUP, NOBODY, 'COUNT', 1, 'STREAMS', key, '>' },
  { 'XTRIM', key, 'MINID', '0-1' }, { 'UNLINK', key },
}
return refusal(all) or 1
