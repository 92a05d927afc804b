-- Removes all values, and returns how many there were.
--
-- KEYS: the index of all values, their total. ARGV: what the name of a value's key begins with.
local members = redis.call('ZRANGE', KEYS[1], 0, -1)
for _, member in ipairs(members) do
  redis.call('DEL', ARGV[1] .. string.match(member, '^(.*):'))
end
redis.call('DEL', KEYS[1], KEYS[2])
return #members
