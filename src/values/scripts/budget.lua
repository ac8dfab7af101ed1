-- Charges up to 16 limits, all or none; or adjusts what was charged. The server's clock decides.
--
-- KEYS: n state keys, all different; then, with the flag 1, n hashes of overrides: HSET <key> <limit name> <max>, where
-- the limit's name follows the last colon of the state key; then, with the flag 2, the record of this operation.
-- ARGV, integers: mode (0 look, 1 charge all or none, 2 adjust past the limits), n, flags, the record's time to live in s;
-- then for each charge six:
--   kind     0 fixed window, 1 UTC month, 2 token bucket, 3 sliding window, 4 slots that leases hold
--   max      0 … 2^53-1; slots: 1000 at most are in force
--   length   seconds: of a fixed window, which is aligned to Unix time; in which a bucket refills max; in which a sliding
--            window admits max; that a lease lasts. 0 for a month.
--   cost     0 … 2^53-1; mode 2: negative gives back
--   window   mode 2: the window that was charged, as an earlier reply named it, -1 = the current one. Slots: the lease's id
--   options  1 = shadow: counts, never refuses
-- Reply: allowed (1, 0), Unix time in ms; then for each charge six:
--   status   1 refuses + 2 larger than the max in force + 4 would refuse, were it no shadow + 8 its override is ignored
--   max      in force
--   remaining, reset_after (ms until nothing counts), retry_after (ms until the cost fits; 0 it fits, -1 never)
--   window   that was charged; slots: the lease that holds some, 0 = none
-- With a record, a repeated charge has the first reply; a repeated adjustment has '-2 <time>'.
--
-- A state is a text of numbers: kind, length, then what the kind's section says. It is replaced by a SET … PX. A state of
-- another kind or length, from before the limit's configuration changed, counts nothing.
-- Everything is read and checked before the first write. What refuses writes nothing but the record.
-- Numbers are doubles: integers up to 2^53 are exact, and a quotient of two is rounded down correctly.
--
-- The last of ARGV is the call's serial number, and the end of every answer: '<numbers> <serial>'.
-- Called without a key it does nothing and answers '-1 <serial>': so a client loads it and checks its right to run it.
local serial = ARGV[#ARGV]
if not KEYS[1] then return '-1 ' .. serial end

local floor, ceil, min, max = math.floor, math.ceil, math.min, math.max
local kLargest = 9007199254740991
local kLongestLife = 34560000000  -- ms, 400 days: longer than the longest sliding window counts
local mode, n, flags = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + floor(time[2] / 1000)

-- The integers of `text`, which are separated by single spaces; nil where it is anything else.
local function numbers_of(text, pattern)
  local words, numbers = {}, {}
  for word in string.gmatch(text, pattern) do
    words[#words + 1], numbers[#numbers + 1] = word, tonumber(word)
    if math.abs(numbers[#numbers]) > kLargest then return nil end
  end
  return table.concat(words, ' ') == text and numbers or nil
end

local function text_of(numbers)
  local words = {}
  for i, number in ipairs(numbers) do words[i] = string.format('%.0f', number) end
  return table.concat(words, ' ')
end

-- Unix time in ms at which tick number `tick` begins.
local function start_of(tick, ms) return min(min(tick, kLargest) * ms, kLargest) end

-- What each kind of window does with a charge `c`, whose state is in `c` after load():
--   load(c, state)   state: the numbers that are stored, or nil; false when they are none of this kind. Sets c.used.
--   take(c, cost), give(c, tokens): change c; whether anything changed
--   wait(c, excess)  ms until so many of c.used do not count
--   reset(c), life(c), window(c), store(c, state): reset_after, PX, the window's name; appends what is stored
-- Time never goes backwards for a state: where the clock does, the latest window that was charged goes on.

-- Fixed windows and months. State: number of the window, used.
local fixed = {}

-- Months since January 1970, and their beginnings. Years begin in March here, so that a leap day is their last:
-- https://howardhinnant.github.io/date_algorithms.html
local function month_of(ms)
  local days = floor(ms / 86400000) + 719468
  local era = floor(days / 146097)
  local day = days - era * 146097
  local year = floor((day - floor(day / 1460) + floor(day / 36524) - floor(day / 146096)) / 365)
  day = day - (365 * year + floor(year / 4) - floor(year / 100))
  return (era * 400 + year) * 12 + floor((5 * day + 2) / 153) + 2 - 23640
end
local function start_of_month(month)
  local since_march = month + 23640 - 2
  local year = floor(since_march / 12)
  local days = 365 * year + floor(year / 4) - floor(year / 100) + floor(year / 400)
  return start_of(days + floor((153 * (since_march - year * 12) + 2) / 5) - 719468, 86400000)
end

function fixed.load(c, state)
  c.at, c.used = c.kind == 1 and month_of(now) or floor(now / (c.length * 1000)), 0
  if not state then return true end
  if #state ~= 4 then return false end
  if state[3] >= c.at then c.at, c.used = state[3], state[4] end
  return true
end
function fixed.take(c, cost)
  c.used = min(c.used + cost, kLargest)
  return cost > 0
end
function fixed.give(c, tokens)
  if c.named ~= -1 and c.named ~= c.at then return false end
  tokens = min(tokens, c.used)
  c.used = c.used - tokens
  return tokens > 0
end
function fixed.reset(c)
  return (c.kind == 1 and start_of_month(c.at + 1) or start_of(c.at + 1, c.length * 1000)) - now
end
function fixed.wait(c) return fixed.reset(c) end
fixed.life = fixed.reset
function fixed.window(c) return c.at end
function fixed.store(c, state) state[3], state[4] = c.at, c.used end

-- Token buckets. State: tick of the last refill; tokens used and not refilled; of the next token, the part that is
-- refilled, in 1/period; then low-water marks, see give(). A tick is 1 ms, for periods over a day 1 s: so period^2 < 2^53
-- and the refill is exact.
local bucket = {}

-- What is refilled in so many ticks, and the part of the next token.
local function refill(c, ticks)
  local periods, per_tick = floor(ticks / c.period), floor(c.max / c.period)
  local rest = ticks - periods * c.period
  local parts = (c.max - per_tick * c.period) * rest + c.part
  local tokens = floor(parts / c.period)
  return periods * c.max + per_tick * rest + tokens, parts - tokens * c.period
end
-- Ticks until so many tokens are refilled; with a max of 0, which refills nothing, one period.
local function ticks_until(c, tokens)
  if tokens <= 0 then return 0 end
  if c.max == 0 then return c.period end
  local periods = floor((tokens - 1) / c.max)
  local rest = tokens - periods * c.max
  local ticks = max(ceil((rest * c.period - c.part) / c.max), 0)  -- rounded where the product exceeds 2^53
  while ticks > 0 and refill(c, ticks - 1) >= rest do ticks = ticks - 1 end
  while refill(c, ticks) < rest do ticks = ticks + 1 end
  return min(periods * c.period + ticks, kLargest)
end

function bucket.load(c, state)
  c.tick = c.length > 86400 and 1000 or 1
  c.period = c.length * 1000 / c.tick
  c.at, c.used, c.part, c.marks = floor(now / c.tick), 0, 0, {}
  if not state then return true end
  if #state < 5 or #state > 37 or #state % 2 == 0 or state[5] >= c.period then return false end
  local elapsed = max(c.at - state[3], 0)
  c.at, c.used, c.part = max(c.at, state[3]), state[4], state[5]
  local tokens, part = refill(c, elapsed)
  c.used = max(c.used - tokens, 0)
  c.part = c.used > 0 and part or 0
  for i = 6, #state, 2 do
    if state[i] > c.at - c.period and state[i + 1] < c.used then c.marks[#c.marks + 1] = {state[i], state[i + 1]} end
  end
  return true
end
function bucket.take(c, cost)
  if cost == 0 then return false end
  local marks = c.marks
  if #marks == 0 or marks[#marks][1] < c.at then marks[#marks + 1] = {c.at, c.part > 0 and c.used - 1 or c.used} end
  if #marks > 16 then  -- merges the two that differ least, which may give back less, never more
    local least = 1
    for i = 2, #marks - 1 do
      if marks[i + 1][2] - marks[i][2] < marks[least + 1][2] - marks[least][2] then least = i end
    end
    marks[least][1] = marks[least + 1][1]
    table.remove(marks, least + 1)
  end
  c.used = min(c.used + cost, kLargest)
  return true
end
-- Gives back at most the least that was used since the charge: what lies above was refilled meanwhile, and would have
-- overflowed had the charge been smaller. A mark says how much was used, rounded down, before the charges of its tick; its
-- tick and amount are above those of the marks before it. After a period nothing is given back.
function bucket.give(c, tokens)
  local charged = c.named == -1 and c.at or c.named
  if charged <= c.at - c.period or charged > c.at then return false end
  tokens = min(tokens, c.used)
  for _, mark in ipairs(c.marks) do
    if mark[1] > charged then tokens = min(tokens, mark[2]) end
  end
  c.used = c.used - tokens
  local least, marks = c.used, {}
  for i = #c.marks, 1, -1 do
    local mark = c.marks[i]
    if mark[1] > charged then mark[2] = mark[2] - tokens end
    if mark[2] < least then
      table.insert(marks, 1, mark)
      least = mark[2]
    end
  end
  c.marks = marks
  if c.used == 0 then c.part = 0 end
  return tokens > 0
end
function bucket.wait(c, excess) return max(start_of(c.at + ticks_until(c, excess), c.tick) - now, 0) end
function bucket.reset(c) return c.used == 0 and 0 or bucket.wait(c, c.used) end
bucket.life = bucket.reset
function bucket.window(c) return c.at end
function bucket.store(c, state)
  state[3], state[4], state[5] = c.at, c.used, c.part
  for _, mark in ipairs(c.marks) do state[#state + 1], state[#state + 2] = mark[1], mark[2] end
end

-- Sliding windows, in sub-windows of a sixteenth of the length. The current one and the 16 before overlap the interval that
-- ends now. State: number of the current one; what was charged to it, to the one before it, and so on.
local sliding = {}

local function sliding_end(c, sub) return ceil(start_of(sub + 17, c.length * 125) / 2) - now end

function sliding.load(c, state)
  c.at, c.used, c.counts = floor(now * 16 / (c.length * 1000)), 0, {}
  for age = 0, 16 do c.counts[age] = 0 end
  if not state then return true end
  if #state < 4 or #state > 20 then return false end
  local current = max(c.at, state[3])
  for age = current - state[3], 16 do
    c.counts[age] = state[4 + age - (current - state[3])] or 0
    c.used = min(c.used + c.counts[age], kLargest)
  end
  c.at = current
  return true
end
function sliding.take(c, cost)
  c.counts[0], c.used = min(c.counts[0] + cost, kLargest), min(c.used + cost, kLargest)
  return cost > 0
end
function sliding.give(c, tokens)
  local age = c.named == -1 and 0 or c.at - c.named
  if age < 0 or age > 16 then return false end
  tokens = min(tokens, c.counts[age])
  c.counts[age], c.used = c.counts[age] - tokens, c.used - tokens
  return tokens > 0
end
function sliding.wait(c, excess)
  for age = 16, 0, -1 do
    excess = excess - c.counts[age]
    if excess <= 0 then return sliding_end(c, c.at - age) end
  end
  return sliding_end(c, c.at)
end
function sliding.reset(c)
  for age = 0, 16 do
    if c.counts[age] > 0 then return sliding_end(c, c.at - age) end
  end
  return 0
end
function sliding.life(c) return sliding_end(c, c.at) end
function sliding.window(c) return c.at end
function sliding.store(c, state)
  local oldest = 16
  while oldest > 0 and c.counts[oldest] == 0 do oldest = oldest - 1 end
  state[3] = c.at
  for age = 0, oldest do state[4 + age] = c.counts[age] end
end

-- Slots. State: for each lease its id, its slots, and the Unix time in ms at which it ends; the next to end first.
local slots = {}

function slots.load(c, state)
  c.max, c.used, c.leases = min(c.max, 1000), 0, {}
  if not state then return true end
  if #state % 3 ~= 2 then return false end
  for i = 3, #state, 3 do
    if state[i + 2] > now then
      local lease = {state[i], state[i + 1], state[i + 2]}
      c.leases[#c.leases + 1], c.used = lease, min(c.used + lease[2], kLargest)
      if lease[1] == c.named then c.own = lease end
    end
  end
  return true
end
local function remove_own(c)
  for i, lease in ipairs(c.leases) do
    if lease == c.own then table.remove(c.leases, i) end
  end
end
-- A lease that there is holds `cost` slots afterwards, or as many as before when that is more; and lasts anew.
function slots.take(c, cost)
  if not c.own and (cost == 0 or #c.leases >= 1000) then return false end
  local held = c.own and c.own[2] or 0
  if c.own then remove_own(c) end
  local last = c.leases[#c.leases]
  c.own = {c.named, max(held, cost), max(now + c.length * 1000, last and last[3] or 0)}
  c.leases[#c.leases + 1], c.used = c.own, min(c.used - held + c.own[2], kLargest)
  return true
end
function slots.give(c, tokens)
  if not c.own then return false end
  tokens = min(tokens, c.own[2])
  c.own[2], c.used = c.own[2] - tokens, c.used - tokens
  if c.own[2] == 0 then
    remove_own(c)
    c.own = nil
  end
  return true
end
function slots.wait(c, excess)
  for _, lease in ipairs(c.leases) do
    if lease ~= c.own then
      excess = excess - lease[2]
      if excess <= 0 then return lease[3] - now end
    end
  end
  return slots.reset(c)
end
function slots.reset(c) return #c.leases > 0 and c.leases[#c.leases][3] - now or 0 end
slots.life = slots.reset
function slots.window(c) return c.own and c.named or 0 end
function slots.store(c, state)
  for _, lease in ipairs(c.leases) do
    for _, number in ipairs(lease) do state[#state + 1] = number end
  end
end

local kinds = {[0] = fixed, fixed, bucket, sliding, slots}
local damaged = 'ERR value is not an integer or out of range'

local record = flags >= 2 and KEYS[#KEYS]
local first = record and redis.call('GET', record)
if first then
  if mode == 2 then return text_of({-2, now}) .. ' ' .. serial end
  local reply = numbers_of(first, '%-?%d+')
  if not reply or #reply ~= 2 + 6 * n then return redis.error_reply(damaged) end
  return first .. ' ' .. serial
end

local charges, allowed = {}, 1
for i = 1, n do
  local at = 6 * i - 2
  local c = {kind = tonumber(ARGV[at + 1]), max = tonumber(ARGV[at + 2]), length = tonumber(ARGV[at + 3]),
             cost = tonumber(ARGV[at + 4]), named = tonumber(ARGV[at + 5]), status = 0, retry = 0}
  local window = kinds[c.kind]
  charges[i], c.kind_of_window = c, window

  if flags % 2 == 1 then
    local override = redis.pcall('HGET', KEYS[n + i], string.match(KEYS[i], '[^:]*$'))
    if type(override) == 'table' and not string.find(override.err, 'WRONGTYPE', 1, true) then return override end
    if override then
      local number = type(override) == 'string' and string.find(override, '^%d+$') and tonumber(override)
      if number and number <= kLargest then c.max = number else c.status = 8 end
    end
  end

  local text = redis.call('GET', KEYS[i])
  local state = text and numbers_of(text, '%d+')
  if text and (not state or #state < 2) then return redis.error_reply(damaged) end
  if state and (state[1] ~= c.kind or state[2] ~= c.length) then state = nil end
  if not window.load(c, state) then return redis.error_reply(damaged) end

  local held = c.own and c.own[2] or 0
  local more = c.kind == 4 and max(c.cost - held, 0) or c.cost
  if mode < 2 and more > c.max - c.used and not (c.own and more == 0) then
    local shadow = ARGV[at + 6] == '1'
    local never = c.cost > c.max
    c.status = c.status + (shadow and 4 or 1) + (never and 2 or 0)
    c.retry = never and -1 or max(window.wait(c, c.used - (c.max - more)), 1)
    if not shadow then allowed = 0 end
  end
end

local writes = {}
if mode > 0 and allowed == 1 then
  for i, c in ipairs(charges) do
    local window = c.kind_of_window
    local changed
    if c.cost < 0 then changed = window.give(c, -c.cost) else changed = window.take(c, c.cost) end
    if changed then
      local state = {c.kind, c.length}
      window.store(c, state)
      writes[#writes + 1] = {KEYS[i], text_of(state), max(min(window.life(c), kLongestLife), 1)}
    end
  end
end

local reply = {allowed, now}
for _, c in ipairs(charges) do
  local window = c.kind_of_window
  for _, number in ipairs({c.status, c.max, max(c.max - c.used, 0), max(window.reset(c), 0), c.retry, window.window(c)}) do
    reply[#reply + 1] = number
  end
end
reply = text_of(reply)

for _, write in ipairs(writes) do redis.call('SET', write[1], write[2], 'PX', string.format('%.0f', write[3])) end
if record then redis.call('SET', record, mode == 2 and '1' or reply, 'EX', ARGV[4]) end
return reply .. ' ' .. serial
