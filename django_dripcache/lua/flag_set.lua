-- Set the flag at KEYS[1] to ARGV[2] ('1' or '0') for ARGV[3] milliseconds; -1 is without end. KEYS[2] is the index: a
-- sorted set of flags' names by when they end (server time, ms). ARGV[1] is what the keys of flags begin with. Names of
-- flags that are gone make room. A new flag beyond ARGV[4] of them is not set, and the answer is 0.
-- What removes comes first: Redis looks for free memory before the first write of a script that needs some, and a
-- switch is to be thrown in a full Redis, too.
local name, ttl, limit = string.sub(KEYS[1], #ARGV[1] + 1), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local trimmed = redis.pcall('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
if type(trimmed) == 'table' and string.find(trimmed.err, 'WRONGTYPE', 1, true) then
  redis.call('UNLINK', KEYS[2])
end
local added = redis.call('ZADD', KEYS[2], ttl < 0 and '+inf' or now + ttl, name)
if added == 1 and redis.call('ZCARD', KEYS[2]) > limit then
  local names, keys = redis.call('ZREVRANGE', KEYS[2], 0, limit), {}
  for i = 1, #names do
    keys[i] = ARGV[1] .. names[i]
  end
  local states = redis.call('MGET', unpack(keys))
  for i = 1, #names do
    if not states[i] and names[i] ~= name then
      redis.call('ZREM', KEYS[2], names[i])
    end
  end
  if redis.call('ZCARD', KEYS[2]) > limit then
    redis.call('ZREM', KEYS[2], name)
    return 0
  end
end
if ttl < 0 then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')
if last[2] == 'inf' then
  redis.call('PERSIST', KEYS[2])
else
  redis.call('PEXPIREAT', KEYS[2], string.format('%.0f', tonumber(last[2])))
end
return 1
