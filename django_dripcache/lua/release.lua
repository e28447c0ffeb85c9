-- Give up the lease KEYS[1] if it is ARGV[1]'s: now, or in ARGV[2] milliseconds if that is more than 0. Until then it
-- rests: nobody computes anew what is stale, but who finds nothing may.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if tonumber(ARGV[2]) > 0 then
  redis.call('SET', KEYS[1], 'r' .. ARGV[1], 'PX', ARGV[2])
  return 1
end
return redis.call('UNLINK', KEYS[1])
