--!auth
-- Read entries of auth, KEYS[2..]; KEYS[1] is the stamp of all.
-- ARGV[1] is 'get' to return the entries, false for each that does not stand, 'take' to remove them as well, 'touch' to
-- give those that stand ARGV[2] milliseconds from now, and 'count' to return no more than how many stand.
local verb, ttl = ARGV[1], tonumber(ARGV[2])

-- A stamp lives half as long again: each process that keeps what is under it has to be told when it is given more time.
local function prolong(name)
  if redis.call('PTTL', name) < ttl then
    redis.call('PEXPIRE', name, string.format('%.0f', ttl * 1.5))
  end
end

local entries, standing = {}, 0
for i = 2, #KEYS do
  local entry
  if verb == 'count' then
    entry = text('GETRANGE', KEYS[i], 0, 1023)
  else
    entry = text('GET', KEYS[i])
  end
  entries[i - 1] = false
  local stamps = stamps_of(entry)
  if stamps then
    entries[i - 1] = entry
    standing = standing + 1
    if verb == 'touch' then
      for _, stamp in ipairs(stamps) do
        prolong(stamp)
      end
      redis.call('PEXPIRE', KEYS[i], ttl)
    end
  end
  if entry and verb == 'take' then
    redis.call('UNLINK', KEYS[i])
  end
end
if verb == 'count' then
  return standing
end
return entries
