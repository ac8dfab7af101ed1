-- Adds ARGV[1] tokens to the counter KEYS[1] whatever the limit, or gives them back when negative: never below zero,
-- and never to a missing counter.
-- ARGV[2]: seconds to live for a counter that has no expiry; 0 = leave expiry alone and a missing counter missing.
-- Answers with the counter (2^53 when it is more), -1 when there is none, -2 when this operation was done before.
--
-- KEYS[2], optional: the record of this operation, kept for ARGV[3] seconds.
--
-- The last of ARGV is the call's serial number, and the end of every answer: '<number> <serial>'.
-- Called without a key it does nothing and answers '-1 <serial>': so a client loads it and checks its right to run it.
local serial = ARGV[#ARGV]
if not KEYS[1] then return '-1 ' .. serial end
if KEYS[2] and redis.call('EXISTS', KEYS[2]) == 1 then return '-2 ' .. serial end

local tokens, ttl = tonumber(ARGV[1]), tonumber(ARGV[2])
local used = -1
if redis.call('EXISTS', KEYS[1]) == 1 or (tokens > 0 and ttl > 0) then
  used = redis.call('INCRBY', KEYS[1], ARGV[1])
  if used < 0 and tokens < 0 then used = redis.call('INCRBY', KEYS[1], string.format('%.0f', -used)) end
  used = math.min(math.max(used, 0), 9007199254740992)
  if ttl > 0 and redis.call('TTL', KEYS[1]) < 0 then redis.call('EXPIRE', KEYS[1], ttl) end
end

if KEYS[2] then redis.call('SET', KEYS[2], '1', 'EX', ARGV[3]) end
return string.format('%.0f %s', used, serial)
