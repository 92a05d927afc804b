-- Marks that this process of Redis holds all revocations, or asks whether it is marked. Returns 1 where it is, 0 where not.
--
-- KEYS: the mark. ARGV: for how many milliseconds it is to be marked, 0 to ask.
--
-- The mark is the process's run_id, which a restart changes: one that came back with a snapshot says nothing of what was
-- written after it, nor does one that a replica was sent. A user who may not ask for it (INFO) has the empty one.
local info, run = redis.pcall('INFO', 'server'), ''
if type(info) == 'string' then
  run = string.match(info, 'run_id:(%w+)') or ''
end
if tonumber(ARGV[1]) > 0 then
  redis.call('SET', KEYS[1], run, 'PX', ARGV[1])
  return 1
end
return redis.call('GET', KEYS[1]) == run and 1 or 0
