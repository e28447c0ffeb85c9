-- Write an entry of auth: a line of the stamps that it is written under, and its value.
-- KEYS: the stamp of all, that of the user if there is one (ARGV[1] counts these), the entry, and what it replaces.
-- ARGV[2] is the value, ARGV[3] its ttl in milliseconds, ARGV[4] a stamp that nobody had before.
-- A stamp that is missing is made, and none ends before the entry does. It lives half as long again: each process that
-- keeps what is under it has to be told when it is given more time.
local stamps, ttl = tonumber(ARGV[1]), tonumber(ARGV[3])
local longer = string.format('%.0f', ttl * 1.5)
local line, new = {'', '', ''}, {}
for i = 1, stamps do
  local stamp = redis.pcall('GET', KEYS[i])
  if type(stamp) == 'table' and not string.find(stamp.err, 'WRONGTYPE', 1, true) then
    return stamp
  end
  new[i] = type(stamp) ~= 'string' or not string.find(stamp, '^%x+$')
  line[i] = new[i] and ARGV[4] or stamp
end
if stamps == 2 then
  line[3] = string.sub(KEYS[2], #KEYS[1] + 1)
end
-- The entry goes first: a server that is full refuses what would make it fuller only as the first write of a script.
redis.call('SET', KEYS[stamps + 1], table.concat(line, ' ') .. '\n' .. ARGV[2], 'PX', ARGV[3])
for i = 1, stamps do
  if new[i] then
    redis.call('SET', KEYS[i], ARGV[4], 'PX', longer)
  elseif redis.call('PTTL', KEYS[i]) < ttl then
    redis.call('PEXPIRE', KEYS[i], longer)
  end
end
for i = stamps + 2, #KEYS do
  redis.call('UNLINK', KEYS[i])
end
return 1
