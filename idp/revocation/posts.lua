-- Keeps a value for a while, if there is room for it. Returns 1 where it is kept, else 0.
--
-- KEYS: the index of all values, their total in bytes, the values of the owner, the value. ARGV: the id, the value, how long
-- it is kept in milliseconds, how many an owner may have, what all may take in bytes, and what each takes besides its bytes.
--
-- A member of the index is an id and what the value takes, id:bytes. The total is what these add up to, also where Redis has
-- evicted a value before its end.
local index, total, owner, post = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, life = ARGV[1], tonumber(ARGV[3])
local size = #ARGV[2] + ARGV[6]

if redis.call('EXISTS', post) == 1 then -- the command is repeated, whose answer was lost
  return 1
end
local info = redis.pcall('INFO', 'memory')
if type(info) == 'string' then -- else the user may not ask
  local used, most = tonumber(string.match(info, 'used_memory:(%d+)')), tonumber(string.match(info, 'maxmemory:(%d+)'))
  if used and most and most > 0 and used + size > most * 3 / 4 then
    return 0
  end
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local taken = tonumber(redis.call('GET', total)) or 0
for _, member in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', now)) do
  taken = taken - tonumber(string.match(member, ':(%d+)$'))
end
redis.call('ZREMRANGEBYSCORE', index, '-inf', now)
redis.call('ZREMRANGEBYSCORE', owner, '-inf', now)
if redis.call('ZCARD', index) == 0 then
  taken = 0
end
local fits = taken + size <= tonumber(ARGV[5]) and redis.call('ZCARD', owner) < tonumber(ARGV[4])
if fits then
  taken = taken + size
  redis.call('SET', post, ARGV[2], 'PX', life)
  redis.call('ZADD', index, now + life, id .. ':' .. size)
  redis.call('ZADD', owner, now + life, id)
  redis.call('PEXPIRE', index, life)
  redis.call('PEXPIRE', owner, life)
end
redis.call('SET', total, string.format('%.0f', taken), 'PX', life)
return fits and 1 or 0
