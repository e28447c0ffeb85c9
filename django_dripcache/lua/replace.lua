-- Put ARGV[2] in the place of ARGV[1] at KEYS[1] and keep the ttl; 0 if something else is there by now.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1
