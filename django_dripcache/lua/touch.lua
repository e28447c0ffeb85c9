--!entry
-- Let what is fresh at KEYS[1] be fresh for ARGV[1] milliseconds (-1: without end) and return whether it was. Its grace
-- is added to that. With 0 it is stale, and gone if it has no grace.
local raw = stored(KEYS[1])
if not raw then
  return 0
end
local left, grace = fresh(KEYS[1], raw)
if not left then
  return 0
end
local ttl = tonumber(ARGV[1])
if ttl < 0 then
  redis.call('PERSIST', KEYS[1])
elseif ttl + grace == 0 then
  redis.call('UNLINK', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ttl + grace))
end
return 1
