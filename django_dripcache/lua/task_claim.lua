-- Let KEYS[1] be ARGV[1]'s for ARGV[2] ms, unless another has it. Returns who has it then.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return holder
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
