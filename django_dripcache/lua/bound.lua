-- Hold a namespace to ARGV[1] keys. KEYS[1] is a sorted set of its keys by when they expire (server time, ms).
-- ARGV[2..] are keys just written. What has expired is forgotten first, then what would expire soonest is removed.
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local longest = 0
for i = 2, #ARGV do
  local ttl = redis.call('PTTL', ARGV[i])
  if ttl == -2 then
    redis.call('ZREM', KEYS[1], ARGV[i])
  else
    redis.call('ZADD', KEYS[1], ttl == -1 and '+inf' or now + ttl, ARGV[i])
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local over = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[1])
local removed = 0
if over > 0 then
  local popped = redis.call('ZPOPMIN', KEYS[1], over)
  for i = 1, #popped, 2 do
    redis.call('UNLINK', popped[i])
    removed = removed + 1
  end
end
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if #last > 0 then
  if last[2] == 'inf' then
    redis.call('PERSIST', KEYS[1])
  else
    redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', tonumber(last[2])))
  end
end
return removed
