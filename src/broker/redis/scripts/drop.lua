-- Deletes keys of a pipeline, in one step, unless a machine of it is alive.
-- Invariant: a life that its run has gone from under is no life any more: commit.lua and take.lua refuse it.
-- KEYS: the hashes of machines of all runs, then all other keys
-- ARGV: how many hashes of machines, ms that what a machine shows lives, ms without a word after which it may be gone, 1: also of the
-- living   -> {"alive", machine} or {"dropped", keys that there were}
local machines = tonumber(ARGV[1])
for n = 1, ARGV[4] == '1' and 0 or machines do
  local records = redis.call('HGETALL', KEYS[n])
  for r = 1, #records, 2 do
    local seen = string.gsub(KEYS[n], 'machines$', '') .. 'seen:' .. records[r]
    local age = ms_since_shown(seen, ARGV[2])
    local is_gone = string.match(records[r + 1], '^%a+:')
    if not is_gone and age and age < tonumber(ARGV[3]) then
      return { 'alive', records[r] }
    end
  end
end
local dropped = 0
for _, key in ipairs(KEYS) do
  dropped = dropped + redis.call('UNLINK', key)
end
return { 'dropped', dropped }
