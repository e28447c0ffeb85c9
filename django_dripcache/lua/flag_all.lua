-- Return the flags that there are, each as its name, '1' or '0', and the milliseconds that it has left (-1: no end).
-- KEYS[1] is a sorted set of their names, ARGV[1] what their keys begin with, ARGV[2] how many there may be.
local names, keys, found = redis.call('ZREVRANGE', KEYS[1], 0, ARGV[2] - 1), {}, {}
if #names == 0 then
  return found
end
for i = 1, #names do
  keys[i] = ARGV[1] .. names[i]
end
local states = redis.call('MGET', unpack(keys))
for i = 1, #names do
  if states[i] == '1' or states[i] == '0' then
    found[#found + 1] = names[i]
    found[#found + 1] = states[i]
    found[#found + 1] = redis.call('PTTL', keys[i])
  end
end
return found
