-- Adds sealed entries to the index, and tells the stream those that the index lacked, all or nothing. Returns how many
-- those were.
--
-- KEYS: stream, index. ARGV: the stream's length, the seconds for which an entry is kept past its end, then the end and
-- the record of each entry; there may be none.
--
-- The id of an entry in the stream is a running number and the microsecond: a number that is missing was trimmed, and one
-- that comes twice belongs to another past. Where there is no stream the numbers start with the time, so that they are
-- none that were there before.
local stream, index = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now, micros = tonumber(time[1]), string.format('%d%06d', time[1], time[2])
local grace = tonumber(ARGV[2])

local number = tonumber(micros)
if redis.call('EXISTS', stream) == 1 then
  local info = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      number = tonumber(string.match(info[i + 1], '^%d+'))
    end
  end
  if number >= 2 ^ 52 then -- not by this script, and past what it can count: begin again
    redis.call('DEL', stream)
    number = tonumber(micros)
  end
end

local added, last = 0, 0
for i = 3, #ARGV, 2 do
  last = math.max(last, tonumber(ARGV[i]))
  if redis.call('ZADD', index, ARGV[i], ARGV[i + 1]) == 1 then
    added, number = added + 1, number + 1
    redis.call('XADD', stream, 'MAXLEN', ARGV[1], string.format('%.0f-%s', number, micros), 'e', ARGV[i + 1])
  end
end

redis.call('ZREMRANGEBYSCORE', index, '-inf', now - grace)
for _, key in ipairs(KEYS) do -- both go when their last entry has ended, though nobody is there to purge
  if redis.call('TTL', key) < last + grace - now then
    redis.call('EXPIRE', key, last + grace - now)
  end
end
return added
