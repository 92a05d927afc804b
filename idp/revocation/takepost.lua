-- Removes a value and returns it; nothing where there is none.
--
-- KEYS: as of posts.lua. ARGV: the id, and what each value takes besides its bytes.
local index, total, owner, post = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local value = redis.call('GET', post)
if not value then
  return false
end
local size = #value + ARGV[2]
redis.call('DEL', post)
redis.call('ZREM', owner, ARGV[1])
if redis.call('ZREM', index, ARGV[1] .. ':' .. size) == 1 then
  redis.pcall('DECRBY', total, size) -- refused by a Redis that is full; then the total is too large until it has ended
end
return value
