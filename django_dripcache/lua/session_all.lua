-- All sessions of one user. KEYS[1] is the user's index, see session_one.lua; what has expired leaves it first.
-- ARGV[1] is what the names of all sessions begin with, ARGV[2] what to do:
--   'list'  answers for each session: its name behind that beginning, when it was created, last used and will expire,
--           and the about. ARGV[3] is the user. What is not there any more leaves the index.
--   'end'   ends all but ARGV[4..] and answers how many there were. For ARGV[3] milliseconds (0: not at all) a mark is
--           left in their places, which no 'set' of session_one.lua replaces.
local index, sessions, verb = KEYS[1], ARGV[1], ARGV[2]
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)

local function ask(...)
  local found = redis.pcall(...)
  if type(found) ~= 'table' or not found.err then
    return found
  end
  -- What is of another type is not there; any other error comes again, and is raised.
  return not string.find(found.err, 'WRONGTYPE', 1, true) and redis.call(...)
end

if not ask('ZREMRANGEBYSCORE', index, '-inf', now) then
  redis.call('UNLINK', index)
end
local found = redis.call('ZREVRANGE', index, 0, -1, 'WITHSCORES')

if verb == 'list' then
  local listed = {}
  for i = 1, #found, 2 do
    local facts = ask('HMGET', sessions .. found[i], 'user', 'created', 'used', 'about')
    if facts and facts[1] == ARGV[3] then
      table.insert(listed, {found[i], facts[2] or '', facts[3] or '', found[i + 1], facts[4] or ''})
    else
      redis.call('ZREM', index, found[i])
    end
  end
  return listed
end

local kept = {}
for i = 4, #ARGV do
  kept[ARGV[i]] = true
end
local ended = 0
for i = 1, #found, 2 do
  if not kept[found[i]] then
    redis.call('ZREM', index, found[i])
    ended = ended + redis.call('UNLINK', sessions .. found[i])
    if ARGV[3] ~= '0' then
      redis.call('SET', sessions .. found[i], 'ended', 'PX', ARGV[3])
    end
  end
end
return ended
