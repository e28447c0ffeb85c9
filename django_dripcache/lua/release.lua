-- Give up the lease KEYS[1] if it is ARGV[1]'s: now, or in ARGV[2] milliseconds if that is more than 0.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if tonumber(ARGV[2]) > 0 then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return redis.call('UNLINK', KEYS[1])
