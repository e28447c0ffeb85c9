-- Free the lock at KEYS[1] if ARGV[1] is its owner, and return 1; 0 if it is another's, or nobody's.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('UNLINK', KEYS[1])
