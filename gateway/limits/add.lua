-- GCRA: adds to the backlog of a key, and returns the backlog, in microseconds.
--
-- KEYS: the key. ARGV: what is added, the burst, the most that the backlog may be in bursts, and the time, all but the third
-- in microseconds. The time may be empty for the server's own, by which gateways agree whose clocks do not.
--
-- The value is the theoretical arrival time (TAT), at which the backlog is empty; the key expires then. A value that is no
-- number counts as no backlog.
local now = tonumber(ARGV[4])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local tat = tonumber(redis.pcall('GET', KEYS[1]))
if not (tat and tat > now) then
  tat = now
end
tat = math.min(tat + ARGV[1], now + ARGV[2] * ARGV[3])
redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX', math.max(math.ceil((tat - now) / 1000), 1))
return string.format('%.0f', tat - now)
