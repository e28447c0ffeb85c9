-- One session: a hash of its data, when it was created and last used, its ttl, its user, and about whom it is.
-- Times are the server's, in milliseconds. KEYS are the names that it may have, the newest first.
-- ARGV[1] is what the names of all sessions begin with, ARGV[2] what those of the users' indexes do. An index is a
-- sorted set of one user's sessions by when they expire. A session of a user holds while that index has it: all end
-- with it. Which index that is stands in the session, so it cannot be one of KEYS.
-- ARGV[3] is what to do, and '~' stands for "as it was":
--   'get'    answers the place in KEYS, the data, the milliseconds since the last use, the user and the about;
--   'set'    ARGV[4] is 'NX', 'XX' or '', then data, ttl, user ('' is nobody), about, and how many a user may have;
--   'touch'  ARGV[4] is the ttl to begin anew, or '' to let it run on, and ARGV[5] the about;
--   'end'    ends all of KEYS, those of the user ARGV[5] alone unless that is '~', and answers how many held. For
--            ARGV[4] milliseconds (0: not at all) a mark is left in their places, which no 'set' replaces.
local sessions, users, verb = ARGV[1], ARGV[2], ARGV[3]
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

local function member(key)
  return string.sub(key, #sessions + 1)
end

local function held(key)
  local found = ask('HMGET', key, 'data', 'user', 'created', 'used', 'ttl', 'about')
  if not found or not found[1] then
    return nil
  end
  local data, user, created, used, ttl, about = unpack(found)
  if user and user ~= '' and not ask('ZSCORE', users .. user, member(key)) then
    return nil
  end
  return {key = key, data = data, user = user or '', created = created, used = used, ttl = ttl, about = about or ''}
end

local function find()
  for place, key in ipairs(KEYS) do
    local session = held(key)
    if session then
      return session, place
    end
  end
end

local function enter(key, user, ttl, most)
  local index = users .. user
  if not ask('ZREMRANGEBYSCORE', index, '-inf', now) then
    redis.call('UNLINK', index)
  end
  if most and not redis.call('ZSCORE', index, member(key)) then
    local over = redis.call('ZCARD', index) - most + 1
    if over > 0 then
      local popped = redis.call('ZPOPMIN', index, over)
      for i = 1, #popped, 2 do
        redis.call('UNLINK', sessions .. popped[i])
      end
    end
  end
  redis.call('ZADD', index, now + ttl, member(key))
  local last = redis.call('ZREVRANGE', index, 0, 0, 'WITHSCORES')
  -- No later than in ten years, whatever score somebody may have put there.
  redis.call('PEXPIREAT', index, string.format('%.0f', math.min(tonumber(last[2]), now + 315360000000)))
end

if verb == 'get' then
  local session, place = find()
  if not session then
    return false
  end
  return {place, session.data, now - (tonumber(session.used) or now), session.user, session.about}
end

if verb == 'set' then
  local only, data, ttl, user, about, most = unpack(ARGV, 4)
  local session = find()
  if (only == 'NX' and session) or (only == 'XX' and not session) or ask('GET', KEYS[1]) == 'ended' then
    return 0
  end
  session = session or {key = KEYS[1], user = '', about = ''}
  if user == '~' then
    user = session.user
  end
  if about == '~' then
    about = session.about
  end
  if not ask('HMGET', KEYS[1], 'data') then
    redis.call('UNLINK', KEYS[1])
  end
  redis.call(
    'HSET', KEYS[1], 'data', data, 'created', session.created or now, 'used', now, 'ttl', ttl, 'user', user,
    'about', about
  )
  redis.call('PEXPIRE', KEYS[1], ttl)
  if session.user ~= '' and (session.user ~= user or session.key ~= KEYS[1]) then
    redis.call('ZREM', users .. session.user, member(session.key))
  end
  for i = 2, #KEYS do
    redis.call('UNLINK', KEYS[i])
  end
  if user ~= '' then
    enter(KEYS[1], user, tonumber(ttl), tonumber(most))
  end
  return 1
end

if verb == 'touch' then
  local ttl, about = ARGV[4], ARGV[5]
  local session = find()
  if not session then
    return 0
  end
  redis.call('HSET', session.key, 'used', now)
  if about ~= '~' then
    redis.call('HSET', session.key, 'about', about)
  end
  if ttl ~= '' then
    ttl = tonumber(ttl) or tonumber(session.ttl) or 0
    redis.call('HSET', session.key, 'ttl', ttl)
    redis.call('PEXPIRE', session.key, ttl)
    if session.user ~= '' then
      enter(session.key, session.user, ttl)
    end
  end
  return 1
end

local bar, owner = ARGV[4], ARGV[5]
local ended = 0
for _, key in ipairs(KEYS) do
  local session = held(key)
  if owner == '~' or (session and session.user == owner) then
    if session then
      ended = ended + 1
      if session.user ~= '' then
        redis.call('ZREM', users .. session.user, member(key))
      end
    end
    redis.call('UNLINK', key)
    if bar ~= '0' then
      redis.call('SET', key, 'ended', 'PX', bar)
    end
  end
end
return ended
