-- Free the place of ARGV[1] in the funnel at KEYS[1], and return 1; 0 if its time was over.
local now = redis.call('TIME')
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now[1] * 1000 + math.floor(now[2] / 1000))
return redis.call('ZREM', KEYS[1], ARGV[1])
