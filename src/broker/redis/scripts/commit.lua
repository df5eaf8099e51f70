-- Commits of one line (a stage of a machine), in order: each happens as a whole or not at all.
-- Invariants:
--   * A commit happens only while each of its inputs is pending for this consumer, and its end takes them away: so the outputs of
--     an item are published once, by one machine.
--   * A commit with a step happens only where its stage is at the step's beginning: so what a source emits from there is published
--     once, by whatever machine.
--   * A number that is not greater than the line's last one was judged before: the answer is that of before, and nothing happens.
--     One request a line is under way and starts at the oldest without an answer, so the line's record keeps the verdicts from
--     the first number of the last request on: no other can be asked for again. Numbers of a request follow each other.
--   * A commit that does not fit stops the line: those behind it are not looked at, so outputs keep their order.
--   * put = done + dead + dropped + length of the stream, for each queue.
--   * Where the user has lost a right nothing has happened: the first commit of a request finds out, and takes its record back.
--   * Where memory is full a commit is refused that only adds items. What ends items goes through, with what a stage makes of them
--     while its output queues hold few: so a chain of stages works off what there is. The first commit of a request decides: behind a
--     write nothing is refused.
-- KEYS: machines, lines, positions, then for each queue: stream, about, letters, attempts, writers
-- ARGV: machine, life, line, place of the stage, number of the request's first commit, number of commits,
--   runs, {queue, how many, {commits, first id, id behind the last}…}…, then for each commit
--   number, ended, {queue, how many, id…}…, dead, {queue, id, cause, attempts}…, 0 or 1: outputs come by plain commands,
--   outputs, {queue, how many, item… unless they come by plain commands}…, 0 or 1 step, {from, to}, marks, {queue}…
--   Each queue is in one group of ended and in one of outputs; ids rise in a group.
--   A run is a row of ended ids between which no other id can be; runs rise. Its entries have ended once that number of the script's
--   commits has happened.
-- A request may be several scripts in one transaction: outputs that are long come by plain commands behind the commit that has them
-- (see open), which is the last of its script. Where it has happened before, or does not happen, its queues are not open.
-- -> {"judged", last number before, verdicts as a string of d and r} + {"full", queue} if a commit found no room, or {"superseded"}
local machine, life, line, place, asked_from = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local consumer, field = machine .. ':' .. life, machine .. ':' .. life .. '/' .. line
local at = 6

local function next_word()
  at = at + 1
  return ARGV[at]
end

local function next_list(width)
  local list = {}
  for n = 1, tonumber(next_word()) do
    local row = {}
    for column = 1, width do
      row[column] = next_word()
    end
    list[n] = row
  end
  return list
end

-- Words of a queue are ARGV[from] to ARGV[to].
local function next_groups(are_elsewhere)
  local groups = {}
  for n = 1, tonumber(next_word()) do
    local queue, count = next_word(), tonumber(next_word())
    groups[n] = { queue = queue, count = count, from = at + 1, to = at + count }
    at = are_elsewhere and at or at + count
  end
  return groups
end

local runs = {}
for _ = 1, tonumber(next_word()) do
  local queue = next_word()
  runs[queue] = next_list(3)
end

local function next_commit()
  local commit = { number = tonumber(next_word()), ended = next_groups(), dead = next_list(4), is_apart = next_word() == '1' }
  commit.outputs, commit.step, commit.marks = next_groups(commit.is_apart), next_list(2)[1], next_list(1)
  return commit
end

local function key(queue, which)
  return KEYS[3 + 5 * tonumber(queue) + which]
end
local STREAM, ABOUT, LETTERS, ATTEMPTS, WRITERS = 1, 2, 3, 4, 5

-- A call has room for some thousand words.
local function with_words(from, to, call)
  for n = from, to, 1000 do
    call(unpack(ARGV, n, math.min(n + 999, to)))
  end
end

-- Whether all are pending for this consumer. Of entries between them some may not be asked for.
local function owns(group)
  local stream, n = key(group.queue, STREAM), group.from
  while n <= group.to do
    local first, most = n, math.min(group.to - n + 1, 1000)
    for _, entry in ipairs(redis.call('XPENDING', stream, GROUP, ARGV[n], ARGV[group.to], most, consumer)) do
      n = entry[1] == ARGV[n] and n + 1 or n
    end
    if n == first then
      return false
    end
  end
  return true
end

local function is_allowed(commit)
  if commit.step and (redis.call('HGET', KEYS[3], place) or '') ~= commit.step[1] then
    return false
  end
  for _, group in ipairs(commit.ended) do
    if not owns(group) then
      return false
    end
  end
  for _, input in ipairs(commit.dead) do
    if not deliveries(key(input[1], STREAM), input[2], consumer) then
      return false
    end
  end
  for _, group in ipairs(commit.outputs) do
    if redis.call('HEXISTS', key(group.queue, ABOUT), 'sealed') == 1 then
      return false
    end
  end
  return true
end

-- By queue the groups that this request has ended: pending no more, and to be taken out of the stream at its end, all in one go.
local ended = {}

local function length(queue)
  local n = redis.call('XLEN', key(queue, STREAM))
  for _, group in ipairs(ended[queue] or {}) do
    n = n - group.count
  end
  return n
end

-- The first queue that has no room for the commit with the greatest length at which it has, and by name those whose outputs are
-- dropped. A queue in which nothing waits takes any number: items that fail on their machines keep no fresh one out, which tells
-- whether they are at fault.
local function look_for_room(commit)
  local dropped = {}
  for _, group in ipairs(commit.outputs) do
    local queue, now = group.queue, length(group.queue)
    local about = redis.call('HMGET', key(queue, ABOUT), 'capacity', 'when_full')
    local is_full = now > 0 and now + group.count > tonumber(about[1])
    if is_full and now > leased(key(queue, STREAM)) then
      if about[2] ~= 'drop' then
        return { queue, math.max(0, about[1] - group.count) }, dropped
      end
      dropped[queue] = true
    end
  end
  return nil, dropped
end

-- Items of a queue up to which it takes what comes of others, whatever is full.
local FEW = 64

local function may_be_refused(commit)
  for _, group in ipairs(commit.outputs) do
    if #commit.ended + #commit.dead == 0 or length(group.queue) >= FEW then
      return true
    end
  end
  return false
end

-- What happen calls, beside HSET. A commit whose first half is there alone would lose its items. Nothing comes of these calls.
local function no_right()
  if #KEYS < 4 then
    return
  end
  local stream, about = key(0, STREAM), key(0, ABOUT)
  return refusal({
    { 'XADD', about .. ':rights', 'NOMKSTREAM', '*', '', '' }, { 'XACK', stream, GROUP, '0-1' }, { 'XDEL', stream, '0-1' },
    { 'XTRIM', stream, 'MINID', '0-1' }, { 'RENAME', about .. ':rights', about .. ':rights' },
    { 'HINCRBY', about, 'put', 0 }, { 'HDEL', KEYS[2], '' }, { 'PUBLISH', about .. ':rights', '' },
  })
end

local function happen(commit, dropped)
  local to_open = {}
  for _, group in ipairs(commit.ended) do
    local queue = group.queue
    with_words(group.from, group.to, function(...)
      redis.call('XACK', key(queue, STREAM), GROUP, ...)
      redis.call('HDEL', key(queue, ATTEMPTS), ...)
    end)
    redis.call('HINCRBY', key(queue, ABOUT), 'done', group.count)
    ended[queue] = ended[queue] or {}
    ended[queue][#ended[queue] + 1] = group
  end
  for _, input in ipairs(commit.dead) do
    local queue, id = input[1], input[2]
    dead_letter(key(queue, STREAM), key(queue, ABOUT), key(queue, LETTERS), id, input[3], input[4])
    redis.call('HDEL', key(queue, ATTEMPTS), id)
    ended[queue] = ended[queue] or {}
  end
  for _, group in ipairs(commit.outputs) do
    local stream, about = key(group.queue, STREAM), key(group.queue, ABOUT)
    redis.call('HINCRBY', about, 'put', group.count)
    if dropped[group.queue] then
      redis.call('HINCRBY', about, 'dropped', group.count)
    else
      if commit.is_apart then
        to_open[#to_open + 1] = stream
      else
        for n = group.from, group.to do
          redis.call('XADD', stream, '*', 'item', ARGV[n])
        end
      end
      wake(about, 'takers_wait')
    end
  end
  if commit.step then
    redis.call('HSET', KEYS[3], place, commit.step[2])
  end
  for _, mark in ipairs(commit.marks) do
    redis.call('HSET', key(mark[1], WRITERS), place, 'ended')
  end
  return to_open
end

-- What has ended goes out of the stream. Entry by entry that costs more than all the rest: the server walks through a node of the
-- stream for each. So what stands at its beginning goes in one walk, as far as all that stands there has ended here. Only the stream itself can say
-- so: entries that are no more pending may belong to a consumer that somebody has deleted, and the group's lag is wrong after a restart.
local function take_out(queue, groups, happened)
  local stream, left, free = key(queue, STREAM), 0, '-'
  for _, group in ipairs(groups) do
    left = left + group.count
  end
  for _, run in ipairs(left > 1 and runs[queue] or {}) do
    local commits, first, behind = unpack(run)
    local has_ended = tonumber(commits) <= happened
    if not has_ended or first ~= free and redis.call('XRANGE', stream, free, '(' .. first, 'COUNT', 1)[1] then
      break
    end
    free = behind
  end
  if free ~= '-' then
    left = left - redis.call('XTRIM', stream, 'MINID', free)
  end
  for _, group in ipairs(left > 0 and groups or {}) do
    with_words(group.from, group.to, function(...)
      redis.call('XDEL', stream, ...)
    end)
  end
end

if redis.call('HGET', KEYS[1], machine) ~= life then
  return { 'superseded' }
end
-- "last first verdicts": the number of the last commit, and the verdicts from the first number of its request on.
local record = redis.call('HGET', KEYS[2], field) or '0 1 '
local last, first, before = string.match(record, '^(%d+) (%d+) (%a*)$')
last, first = tonumber(last), tonumber(first)
local full, answers, given, to_open, reached, is_first_write = nil, {}, nil, {}, last, nil
-- So many from the first on have happened in this script.
local happened = 0

for _ = 1, tonumber(ARGV[6]) do
  local commit = next_commit()
  -- Verdicts that scripts before this one have given in this request.
  given = given or string.rep('d', math.min(first, commit.number) - asked_from)
    .. string.sub(before, math.max(asked_from - first, 0) + 1, math.max(commit.number - first, 0))
  if is_first_write == nil then
    is_first_write = commit.number == asked_from
  end
  if commit.number > asked_from and commit.number > reached + 1 then
    break -- one of these has found no room
  elseif commit.number <= last then
    local n = commit.number - first + 1
    answers[#answers + 1] = n >= 1 and string.sub(before, n, n) or 'd'
  else
    local verdict, dropped = 'r', {}
    if is_allowed(commit) then
      verdict = 'd'
      full, dropped = look_for_room(commit)
    end
    if full then
      local about = key(full[1], ABOUT)
      local others = redis.call('HGET', about, 'writers_wait') or 0
      redis.call('HSET', about, 'writers_wait', math.max(full[2], others))
      break
    end
    answers[#answers + 1], reached = verdict, commit.number
    local line_record = commit.number .. ' ' .. asked_from .. ' ' .. given .. table.concat(answers)
    if is_first_write and not may_be_refused(commit) then
      write_when_full(KEYS[2])
    end
    redis.call('HSET', KEYS[2], field, line_record)
    local refused = is_first_write and no_right()
    if refused then
      redis.call('HSET', KEYS[2], field, record)
      return refused
    end
    is_first_write = false
    if verdict == 'd' then
      to_open = happen(commit, dropped)
      happened = happened == #answers - 1 and #answers or happened
    end
  end
end
-- Scripts behind this one rely on it.
local refused = is_first_write and no_right()
if refused then
  return refused
end
for queue, groups in pairs(ended) do
  take_out(queue, groups, happened)
  wake_writers(key(queue, STREAM), key(queue, ABOUT))
end
for _, stream in ipairs(to_open) do
  open(stream)
end
local answer = { 'judged', last, table.concat(answers) }
if full then
  answer[4] = tonumber(full[1])
end
return answer
