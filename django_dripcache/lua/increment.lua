-- Add ARGV[1] to the integer at KEYS[1]; nothing for a key that is not there.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return false
end
return redis.call('INCRBY', KEYS[1], ARGV[1])
