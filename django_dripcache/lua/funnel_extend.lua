-- Give ARGV[1], if it has a place in the funnel at KEYS[1], ARGV[2] milliseconds from now, and return 1; else 0.
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local over = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not over or tonumber(over) <= now then
  return 0
end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
