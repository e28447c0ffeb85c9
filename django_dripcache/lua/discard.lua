-- Remove the value at KEYS[1] if it is still the one whose SHA-1 is ARGV[1].
local value = redis.call('GET', KEYS[1])
if value and redis.sha1hex(value) == ARGV[1] then
  return redis.call('UNLINK', KEYS[1])
end
return 0
