-- Let the lock at KEYS[1] live for ARGV[2] milliseconds from now if ARGV[1] is its owner, and return 1; else 0.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
