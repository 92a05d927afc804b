-- Returns the next cursor of a sorted set, how many members of this step are too long to be ours, and then the others.
--
-- KEYS: the set. ARGV: the cursor, how many to look at, how long a member may be.
local step = redis.call('ZSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local reply, long = { step[1], '' }, 0
for i = 1, #step[2], 2 do
  if #step[2][i] > tonumber(ARGV[3]) then
    long = long + 1
  else
    reply[#reply + 1] = step[2][i]
  end
end
reply[2] = tostring(long)
return reply
