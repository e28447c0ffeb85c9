--!entry
-- Return for how many milliseconds what is at KEYS[1] is fresh (-1: no end, -2: it is not), and what is there: the first
-- ARGV[1] bytes of a string, or about ARGV[2] members of something else, ARGV[3] bytes of each, none where they may not
-- be asked; and 1 if there are more.
local function ask(...)
  local found = redis.pcall(...)
  if type(found) == 'table' and found.err then
    return nil
  end
  return found
end

local function some(members, most, more)
  local few = {}
  for place = 1, math.min(#members, most) do
    few[place] = string.sub(members[place], 1, ARGV[3])
  end
  return {redis.call('PTTL', KEYS[1]), few, (more or #members > most) and 1 or 0}
end

local raw = ask('GETRANGE', KEYS[1], 0, ARGV[1] - 1)
if raw then
  return {fresh(KEYS[1], raw) or -2, raw, 0}
end
for verb, parts in pairs({HSCAN = 2, SSCAN = 1, ZSCAN = 2}) do
  local found = ask(verb, KEYS[1], 0, 'COUNT', ARGV[2])
  if found then
    return some(found[2], parts * ARGV[2], found[1] ~= '0')
  end
end
return some(ask('LRANGE', KEYS[1], 0, ARGV[2]) or {}, tonumber(ARGV[2]))
