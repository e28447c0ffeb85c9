-- Give each of KEYS that has no end one, in ARGV[1] milliseconds.
for _, key in ipairs(KEYS) do
  if redis.call('PTTL', key) == -1 then
    redis.call('PEXPIRE', key, ARGV[1])
  end
end
return 1
