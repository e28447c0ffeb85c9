-- Add ARGV[1] to the counter at KEYS[1]. A new one lives for ARGV[2] milliseconds; -1 is without end.
local ttl = tonumber(ARGV[2])
local fresh = redis.call('EXISTS', KEYS[1]) == 0
local total = redis.call('INCRBY', KEYS[1], ARGV[1])
if fresh and ttl >= 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return total
