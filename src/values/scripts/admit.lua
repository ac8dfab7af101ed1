-- Admits ARGV[1] tokens to the counter KEYS[1] when they fit below the limit ARGV[2]; else writes nothing to it.
-- ARGV[3]: seconds to live, set on a counter that has no expiry, and never re-armed.
-- Answers with the new counter (0 or more) when admitted, with -1 - counter when denied.
--
-- KEYS[2], optional: the record of this operation, kept for ARGV[5] seconds. Then the answer is that number and ARGV[4],
-- which is the counter's minute, and a repetition is answered with what the first was.
--
-- The last of ARGV is the call's serial number, and the end of every answer: '<number> <serial>', and with a record
-- '<number> <minute> <serial>'.
-- Called without a key it does nothing and answers '-1 <serial>': so a client loads it and checks its right to run it.
local record, serial = KEYS[2], ARGV[#ARGV]
if not KEYS[1] then return '-1 ' .. serial end
if record then
  local first = redis.call('GET', record)
  if first then return string.match(first, '^%-?%d+ %-?%d+$') .. ' ' .. serial end
end

local tokens, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local used = tonumber(string.match(redis.call('GET', KEYS[1]) or '0', '^%-?%d+$'))
if not used or math.abs(used) > 9223372036854775807 then
  return redis.error_reply('ERR value is not an integer or out of range')
end
used = math.max(used, 0)

local answer
if tokens <= limit - used then
  answer = math.max(redis.call('INCRBY', KEYS[1], ARGV[1]), 0)
  if redis.call('TTL', KEYS[1]) < 0 then redis.call('EXPIRE', KEYS[1], ARGV[3]) end
else
  answer = -1 - math.min(used, 9007199254740990)
end

if not record then return string.format('%.0f %s', answer, serial) end
answer = string.format('%.0f %s', answer, ARGV[4])
redis.call('SET', record, answer, 'EX', ARGV[5])
return answer .. ' ' .. serial
