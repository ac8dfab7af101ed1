-- Charges up to 16 limits, all or none; or adjusts what was charged. The server's clock decides.
--
-- KEYS: n state keys, all different; then, with the flag 1, n hashes of overrides: HSET <key> <limit name> <max>, where
-- the limit's name follows the last colon of the state key; then, with the flag 2, the record of this operation.
-- ARGV, integers: mode (0 look, 1 charge all or none, 2 adjust past the limits), n, flags, the record's time to live in
-- s; then for each charge six:
--   kind     0 fixed window, 1 UTC month, 2 token bucket, 3 sliding window, 4 slots that leases hold
--   max      0 … 2^53-1; slots: 1000 at most are in force
--   length   seconds: of a fixed window, which is aligned to Unix time; in which a bucket refills max; in which a
--            sliding window admits max; that a lease lasts. 0 for a month.
--   cost     0 … 2^53-1; mode 2: negative gives back
--   window   mode 2: the window that was charged, as an earlier reply named it, -1 = the current one. Slots: the id of
--            the lease, which is positive
--   options  1 = shadow: counts, never refuses
-- Reply: allowed (1, 0), Unix time in ms; then for each charge six:
--   status   1 refuses + 2 larger than the max in force + 4 would refuse, were it no shadow + 8 its override is ignored
--   max      in force
--   remaining, reset_after (ms until nothing counts), retry_after (ms until the cost fits; 0 it fits, -1 never)
--   window   that was charged; slots: the lease that holds some, 0 = none
-- With a record, a repeated charge has the first reply; a repeated adjustment has '-2 <time>'.
--
-- A state is a text: kind, length, then what the kind's section says. It is replaced by a SET … PX. A state of another
-- kind or length, from before the limit's configuration changed, counts nothing.
-- Everything is read and checked before the first write. What refuses writes nothing but the record.
-- Numbers are doubles: integers up to 2^53 are exact, and a quotient of two is rounded down correctly.
--
-- The last of ARGV is the call's serial number, and the end of every answer: '<numbers> <serial>'.
-- Called without a key it does nothing and answers '-1 <serial>': so a client loads it and checks its right to run it.
local serial = ARGV[#ARGV]
if not KEYS[1] then return '-1 ' .. serial end

local floor, ceil, min, max = math.floor, math.ceil, math.min, math.max
local format, match, sub = string.format, string.match, string.sub
local kLargest = 9007199254740991
local kLongestLife = 34560000000  -- ms, 400 days: longer than the longest sliding window counts
local kDamaged = 'ERR value is not an integer or out of range'
local mode, n, flags = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + floor(time[2] / 1000)

local function integer(digits)
  local number = tonumber(digits)
  return number and number <= kLargest and number or nil
end

-- The integers of `text`, which are separated by single spaces; nil where it is anything else.
local function numbers_of(text, pattern)
  local words, numbers = {}, {}
  for word in string.gmatch(text, pattern) do
    words[#words + 1], numbers[#numbers + 1] = word, tonumber(word)
    if math.abs(numbers[#numbers]) > kLargest then return nil end
  end
  return table.concat(words, ' ') == text and numbers or nil
end

-- Unix time in ms at which tick number `tick` begins.
local function start_of(tick, ms) return min(min(tick, kLargest) * ms, kLargest) end

-- What each kind of window does with a charge `c`, whose state is in `c` after load():
--   load(c, text)    text: what store() returned, or nil; false when it is damaged. Sets c.used.
--   take(c, cost), give(c, tokens): change c; whether anything changed
--   wait(c, excess)  ms until so many of c.used do not count
--   reset(c), life(c), window(c), store(c): reset_after, PX, the window's name, what is stored
-- Time never goes backwards for a state: where the clock does, the latest window that was charged goes on.
-- The functions of a kind are made when a charge has that kind: to make all of them takes longer than to run one.

-- Fixed windows and months. State: number of the window, used.
local function fixed_windows()
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

  function fixed.load(c, text)
    c.at, c.used = c.kind == 1 and month_of(now) or floor(now / (c.length * 1000)), 0
    if not text then return true end
    local at, used = match(text, '^(%d+) (%d+)$')
    at, used = integer(at), integer(used)
    if not at or not used then return false end
    if at >= c.at then c.at, c.used = at, used end
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
  function fixed.store(c) return format('%.0f %.0f', c.at, c.used) end
  return fixed
end

-- Token buckets. State: tick of the last refill; tokens used and not refilled; of the next token, the part that is
-- refilled, in 1/period; then low-water marks, see give(). A tick is 1 ms, for periods over a day 1 s: so period^2 is
-- below 2^53, and the refill is exact.
local function token_buckets()
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

  function bucket.load(c, text)
    c.tick = c.length > 86400 and 1000 or 1
    c.period = c.length * 1000 / c.tick
    c.at, c.used, c.part, c.marks = floor(now / c.tick), 0, 0, {}
    if not text then return true end
    local state = numbers_of(text, '%d+')
    if not state or #state < 3 or #state > 35 or #state % 2 == 0 or state[3] >= c.period then return false end
    local elapsed = max(c.at - state[1], 0)
    c.at, c.used, c.part = max(c.at, state[1]), state[2], state[3]
    local tokens, part = refill(c, elapsed)
    c.used = max(c.used - tokens, 0)
    c.part = c.used > 0 and part or 0
    for i = 4, #state, 2 do
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
  -- overflowed had the charge been smaller. A mark says how much was used, rounded down, before the charges of its tick;
  -- its tick and amount are above those of the marks before it. After a period nothing is given back.
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
  function bucket.store(c)
    local words = {format('%.0f %.0f %.0f', c.at, c.used, c.part)}
    for i, mark in ipairs(c.marks) do words[i + 1] = format('%.0f %.0f', mark[1], mark[2]) end
    return table.concat(words, ' ')
  end
  return bucket
end

-- Sliding windows, in sub-windows of a sixteenth of the length. The current one and the 16 before overlap the interval
-- that ends now. State: number of the current one; what was charged to it, to the one before it, and so on.
local function sliding_windows()
  local sliding = {}

  local function sliding_end(c, part) return ceil(start_of(part + 17, c.length * 125) / 2) - now end

  function sliding.load(c, text)
    c.at, c.used, c.counts = floor(now * 16 / (c.length * 1000)), 0, {}
    for age = 0, 16 do c.counts[age] = 0 end
    if not text then return true end
    local state = numbers_of(text, '%d+')
    if not state or #state < 2 or #state > 18 then return false end
    local shift = max(c.at - state[1], 0)
    for age = shift, 16 do
      c.counts[age] = state[2 + age - shift] or 0
      c.used = min(c.used + c.counts[age], kLargest)
    end
    c.at = max(c.at, state[1])
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
  function sliding.store(c)
    local oldest = 16
    while oldest > 0 and c.counts[oldest] == 0 do oldest = oldest - 1 end
    local words = {format('%.0f', c.at)}
    for age = 0, oldest do words[age + 2] = format('%.0f', c.counts[age]) end
    return table.concat(words, ' ')
  end
  return sliding
end

-- Slots. State: how many are held; then each lease as <id>:<slots>:<Unix time in ms at which it ends>, the next to end
-- first. Up to 1000 leases are not taken apart: only those that have ended, the lease of the charge, and the last one.
local function leased_slots()
  local slots = {}

  -- Of the lease at this place of the list: id, slots, end, and the place behind it; nil where it is damaged.
  local function lease_at(list, place)
    local id, held, ends, behind = match(list, '^ (%d+):(%d+):(%d+)()', place)
    held = integer(held)
    if held then return id, held, min(tonumber(ends), kLargest), behind end
  end
  -- When the last lease of the list ends; 0 without one, nil where it is damaged.
  local function last_end(list)
    if list == '' then return 0 end
    return tonumber(match(sub(list, -17), ':(%d+)$'))
  end

  function slots.load(c, text)
    c.max, c.used, c.list, c.last, c.held = min(c.max, 1000), 0, '', 0, 0
    if not text then return true end
    local used, list = match(text, '^(%d+)(.*)$')
    c.used = integer(used)
    if not c.used then return false end
    local place = 1
    while place <= #list do
      local id, held, ends, behind = lease_at(list, place)
      if not id then return false end
      if ends > now then break end
      c.used, place = max(c.used - held, 0), behind
    end
    c.list = sub(list, place)
    c.last = last_end(c.list)
    if c.list == '' then c.used = 0 end
    c.first = string.find(c.list, ' ' .. c.id .. ':', 1, true)
    if c.first then
      local id, held, ends, behind = lease_at(c.list, c.first)
      if not id then return false end
      c.held, c.ends, c.behind = held, ends, behind
    end
    return c.last ~= nil
  end
  -- Puts `lease` in the place of the charge's own, or behind all where it has none.
  local function replace(c, lease)
    c.list = sub(c.list, 1, (c.first or 0) - 1) .. lease .. (c.first and sub(c.list, c.behind) or '')
  end
  -- A lease that there is holds `cost` slots afterwards, or as many as before when that is more; and lasts anew.
  function slots.take(c, cost)
    local held = max(c.held, cost)
    if held == 0 or c.used - c.held + held > 1000 then return false end
    if c.first then replace(c, '') end
    c.used, c.held, c.first = c.used - c.held + held, held, nil
    c.last = max(now + c.length * 1000, c.last)
    c.list = c.list .. format(' %s:%.0f:%.0f', c.id, held, c.last)
    return true
  end
  function slots.give(c, tokens)
    if not c.first then return false end
    local left = max(c.held - tokens, 0)
    c.used = max(c.used - (c.held - left), 0)
    replace(c, left > 0 and format(' %s:%.0f:%.0f', c.id, left, c.ends) or '')
    c.held, c.first, c.last = left, nil, last_end(c.list) or 0
    if c.list == '' then c.used = 0 end
    return true
  end
  function slots.wait(c, excess)
    local id, held, ends, place = lease_at(c.list, 1)
    while id do
      if tonumber(id) ~= c.named then excess = excess - held end
      if excess <= 0 then return ends - now end
      id, held, ends, place = lease_at(c.list, place)
    end
    return slots.reset(c)
  end
  function slots.reset(c) return c.list == '' and 0 or c.last - now end
  slots.life = slots.reset
  function slots.window(c) return c.held > 0 and c.named or 0 end
  function slots.store(c) return format('%.0f', c.used) .. c.list end
  return slots
end

local makers = {[0] = fixed_windows, fixed_windows, token_buckets, sliding_windows, leased_slots}
local kinds = {}

local record = flags >= 2 and KEYS[#KEYS]
local first = record and redis.call('GET', record)
if first then
  if mode == 2 then return format('-2 %.0f %s', now, serial) end
  local reply = numbers_of(first, '%-?%d+')
  if not reply or #reply ~= 2 + 6 * n then return redis.error_reply(kDamaged) end
  return first .. ' ' .. serial
end

local charges, allowed = {}, 1
for i = 1, n do
  local at = 6 * i - 2
  local c = {kind = tonumber(ARGV[at + 1]), max = tonumber(ARGV[at + 2]), length = tonumber(ARGV[at + 3]),
             cost = tonumber(ARGV[at + 4]), named = tonumber(ARGV[at + 5]), id = ARGV[at + 5], status = 0, retry = 0}
  local window = kinds[c.kind] or makers[c.kind]()
  kinds[c.kind], charges[i], c.does = window, c, window

  if flags % 2 == 1 then
    local override = redis.pcall('HGET', KEYS[n + i], match(KEYS[i], '[^:]*$'))
    if type(override) == 'table' and not string.find(override.err, 'WRONGTYPE', 1, true) then return override end
    if override then
      local number = type(override) == 'string' and integer(match(override, '^%d+$'))
      if number then c.max = number else c.status = 8 end
    end
  end

  c.kept = ARGV[at + 1] .. ' ' .. ARGV[at + 3] .. ' '
  local text = redis.call('GET', KEYS[i]) or nil
  if text and sub(text, 1, #c.kept) == c.kept then
    text = sub(text, #c.kept + 1)
  elseif text then
    if not match(text, '^[0-4] %d+ %d') then return redis.error_reply(kDamaged) end
    text = nil
  end
  if not window.load(c, text) then return redis.error_reply(kDamaged) end

  local more = c.kind == 4 and max(c.cost - c.held, 0) or c.cost
  if mode < 2 and more > c.max - c.used and not (c.kind == 4 and c.held > 0 and more == 0) then
    local shadow = ARGV[at + 6] == '1'
    local never = c.cost > c.max
    c.status = c.status + (shadow and 4 or 1) + (never and 2 or 0)
    c.retry = never and -1 or max(window.wait(c, c.used - (c.max - more)), 1)
    if not shadow then allowed = 0 end
  end
end

local writes, reply = {}, {format('%d %.0f', allowed, now)}
for i, c in ipairs(charges) do
  local window = c.does
  if mode > 0 and allowed == 1 then
    local changed
    if c.cost < 0 then changed = window.give(c, -c.cost) else changed = window.take(c, c.cost) end
    if changed then
      writes[#writes + 1] = {KEYS[i], c.kept .. window.store(c), max(min(window.life(c), kLongestLife), 1)}
    end
  end
  reply[i + 1] = format('%d %.0f %.0f %.0f %.0f %.0f', c.status, c.max, max(c.max - c.used, 0), max(window.reset(c), 0),
                        c.retry, window.window(c))
end
reply = table.concat(reply, ' ')

for _, write in ipairs(writes) do redis.call('SET', write[1], write[2], 'PX', format('%.0f', write[3])) end
if record then redis.call('SET', record, mode == 2 and '1' or reply, 'EX', ARGV[4]) end
return reply .. ' ' .. serial
