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
-- ARGV: machine, life, line, place of the stage, number of commits, then for each commit
--   number, ends, {queue, id, cause or "", attempts}…, outputs, {queue, item}…, 0 or 1 step, {from, to}, marks, {queue}…
-- -> {"judged", last number before, verdicts as a string of d and r} + {"full", queue} if a commit found no room, or {"superseded"}
local machine, life, line, place = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local consumer, field = machine .. ':' .. life, machine .. ':' .. life .. '/' .. line
local at = 5

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

local function next_commit()
  return {
    number = tonumber(next_word()), ends = next_list(4), outputs = next_list(2), step = next_list(2)[1],
    marks = next_list(1),
  }
end

local function key(queue, which)
  return KEYS[3 + 5 * tonumber(queue) + which]
end
local STREAM, ABOUT, LETTERS, ATTEMPTS, WRITERS = 1, 2, 3, 4, 5

local function is_allowed(commit)
  if commit.step and (redis.call('HGET', KEYS[3], place) or '') ~= commit.step[1] then
    return false
  end
  for _, input in ipairs(commit.ends) do
    if not deliveries(key(input[1], STREAM), input[2], consumer) then
      return false
    end
  end
  for _, output in ipairs(commit.outputs) do
    if redis.call('HEXISTS', key(output[1], ABOUT), 'sealed') == 1 then
      return false
    end
  end
  return true
end

-- The first queue that has no room for the commit with the greatest length at which it has, and by name those whose outputs are
-- dropped. A queue in which nothing waits takes any number: items that fail on their machines keep no fresh one out, which tells
-- whether they are at fault.
local function look_for_room(commit)
  local wanted, dropped = {}, {}
  for _, output in ipairs(commit.outputs) do
    wanted[output[1]] = (wanted[output[1]] or 0) + 1
  end
  for _, output in ipairs(commit.outputs) do
    local queue = output[1]
    local length = redis.call('XLEN', key(queue, STREAM))
    local about = redis.call('HMGET', key(queue, ABOUT), 'capacity', 'when_full')
    local is_full = length > 0 and length + wanted[queue] > tonumber(about[1])
    if is_full and length > leased(key(queue, STREAM)) then
      if about[2] ~= 'drop' then
        return { queue, math.max(0, about[1] - wanted[queue]) }, dropped
      end
      dropped[queue] = true
    end
  end
  return nil, dropped
end

-- Items of a queue up to which it takes what comes of others, whatever is full.
local FEW = 64

local function may_be_refused(commit)
  for _, output in ipairs(commit.outputs) do
    if #commit.ends == 0 or redis.call('XLEN', key(output[1], STREAM)) >= FEW then
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
    { 'HINCRBY', about, 'put', 0 }, { 'HDEL', KEYS[2], '' }, { 'PUBLISH', about .. ':rights', '' },
  })
end

local function happen(commit, dropped)
  for _, input in ipairs(commit.ends) do
    local stream, about, id = key(input[1], STREAM), key(input[1], ABOUT), input[2]
    if input[3] == '' then
      redis.call('XACK', stream, GROUP, id)
      redis.call('XDEL', stream, id)
      redis.call('HINCRBY', about, 'done', 1)
    else
      dead_letter(stream, about, key(input[1], LETTERS), id, input[3], input[4])
    end
    redis.call('HDEL', key(input[1], ATTEMPTS), id)
    wake_writers(stream, about)
  end
  for _, output in ipairs(commit.outputs) do
    local about = key(output[1], ABOUT)
    redis.call('HINCRBY', about, 'put', 1)
    if dropped[output[1]] then
      redis.call('HINCRBY', about, 'dropped', 1)
    else
      redis.call('XADD', key(output[1], STREAM), '*', 'item', output[2])
      wake(about, 'takers_wait')
    end
  end
  if commit.step then
    redis.call('HSET', KEYS[3], place, commit.step[2])
  end
  for _, mark in ipairs(commit.marks) do
    redis.call('HSET', key(mark[1], WRITERS), place, 'ended')
  end
end

if redis.call('HGET', KEYS[1], machine) ~= life then
  return { 'superseded' }
end
-- "last first verdicts": the number of the last commit, and the verdicts from the first number of its request on.
local record = redis.call('HGET', KEYS[2], field) or '0 1 '
local last, first, before = string.match(record, '^(%d+) (%d+) (%a*)$')
last, first = tonumber(last), tonumber(first)
local full, answers, asked_from, is_first_write = nil, {}, nil, true

for _ = 1, tonumber(ARGV[5]) do
  local commit = next_commit()
  asked_from = asked_from or commit.number
  if commit.number <= last then
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
    answers[#answers + 1] = verdict
    local line_record = commit.number .. ' ' .. asked_from .. ' ' .. table.concat(answers)
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
      happen(commit, dropped)
    end
  end
end
local answer = { 'judged', last, table.concat(answers) }
if full then
  answer[4] = tonumber(full[1])
end
return answer
