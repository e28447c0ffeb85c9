--!entry
-- Take the lease KEYS[2] for a value KEYS[1] that was put into a queue, and return as fetch.lua does: {value, 1, who
-- holds it, the time, a version for each tag}; nil if somebody is computing it, or has, or if it was removed.
-- KEYS[3..] are tags. ARGV: an owner, the lease in ms, how long a new tag lives in ms.
local raw = redis.call('GET', KEYS[1])
local holder = redis.call('GET', KEYS[2])
if holder and not queued(holder) then
  return nil
end
if not holder and (not raw or fresh(KEYS[1], raw)) then
  return nil
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return found(raw, 1, ARGV[1], ARGV[3])
