-- What the scripts that read entries of auth share: it is put before those that begin with "--!auth".
-- An entry begins with a line '<stamp of all> <stamp of its user> <user>', and stands while its stamps do. KEYS[1] is the
-- stamp of all; with a user behind that name, it is the user's.
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

local all = text('GET', KEYS[1])

-- The names of the stamps of an entry that stands, else nil.
local function stamps_of(entry)
  local of_all, of_user, user = string.match(entry or '', '^(%x+) (%x*) ([^\n]*)\n')
  if not of_all or of_all ~= all then
    return nil
  end
  if user == '' then
    return {KEYS[1]}
  end
  return of_user == text('GET', KEYS[1] .. user) and {KEYS[1], KEYS[1] .. user} or nil
end
