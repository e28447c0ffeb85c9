-- Return 1 if ARGV[1] has a place in the funnel at KEYS[1], else 0.
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local over = redis.call('ZSCORE', KEYS[1], ARGV[1])
return over and tonumber(over) > now and 1 or 0
