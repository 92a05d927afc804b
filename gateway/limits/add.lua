-- Adds to what a key owes, and returns what it owes then, in microseconds.
--
-- KEYS: the key. ARGV: what is added, the quota, how many quotas may be owed at most, and the time, all but the third in
-- microseconds. The time may be empty for the server's own, by which gateways agree whose clocks do not.
--
-- What is kept is the moment at which nothing is owed any more, and it is kept until then. Whatever else stands there
-- counts for nothing.
local now = tonumber(ARGV[4])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local even = tonumber(redis.pcall('GET', KEYS[1]))
if not (even and even > now) then
  even = now
end
even = math.min(even + ARGV[1], now + ARGV[2] * ARGV[3])
redis.call('SET', KEYS[1], string.format('%.0f', even), 'PX', math.max(math.ceil((even - now) / 1000), 1))
return string.format('%.0f', even - now)
