-- Read entries of auth, KEYS[2..]: each begins with a line '<stamp of all> <stamp of its user> <user>'.
-- An entry stands while its stamps do. KEYS[1] is the stamp of all; with a user behind that name, it is the user's.
-- ARGV[1] is 'get' to return the entries, false for each that does not stand, 'take' to remove them as well, 'touch' to
-- give those that stand ARGV[2] milliseconds from now, and 'count' to return no more than how many stand.
local verb, ttl = ARGV[1], tonumber(ARGV[2])

local function text(...)
  local found = redis.pcall(...)
  if type(found) ~= 'table' then
    return found
  end
  if not string.find(found.err, 'WRONGTYPE', 1, true) then
    error(found.err)
  end
  return false
end

local function prolong(name)
  if redis.call('PTTL', name) < ttl then
    redis.call('PEXPIRE', name, ttl)
  end
end

local all = text('GET', KEYS[1])
local entries, standing = {}, 0
for i = 2, #KEYS do
  local entry
  if verb == 'count' then
    entry = text('GETRANGE', KEYS[i], 0, 1023)
  else
    entry = text('GET', KEYS[i])
  end
  entries[i - 1] = false
  if entry then
    local of_all, of_user, user = string.match(entry, '^(%x+) (%x*) ([^\n]*)\n')
    if of_all and of_all == all and (user == '' or of_user == text('GET', KEYS[1] .. user)) then
      entries[i - 1] = entry
      standing = standing + 1
      if verb == 'touch' then
        prolong(KEYS[1])
        if user ~= '' then
          prolong(KEYS[1] .. user)
        end
        redis.call('PEXPIRE', KEYS[i], ttl)
      end
    end
    if verb == 'take' then
      redis.call('UNLINK', KEYS[i])
    end
  end
end
if verb == 'count' then
  return standing
end
return entries
