-- What the scripts about entries share (see entry.py): it is put before those that begin with "--!entry".
local function parse(raw)
  local _, head, size, grace, cost = string.find(raw, '^\2221 (%d+) (%d+) (%d+)\n')
  size = tonumber(size)
  if head and size >= head and size <= #raw then
    return size, tonumber(grace), tonumber(cost), head
  end
end

-- Whether no tag of an entry was invalidated, or lost, since the entry was stored.
local function intact(raw, size, head)
  local at = head
  while at < size do
    local _, last, length, version = string.find(raw, '^(%d+) (%d+) ', at + 1)
    if not last then
      return false
    end
    at = last + tonumber(length)
    if redis.pcall('GET', string.sub(raw, last + 1, at)) ~= version then
      return false
    end
  end
  return true
end

-- What is stored at a key; nothing that could be read for a key of another type.
local function stored(key)
  local raw = redis.pcall('GET', key)
  return type(raw) == 'table' and '' or raw
end

-- How many milliseconds the entry at a key is fresh for, and its header's figures; nil for one that is not.
local function fresh(key, raw)
  local size, grace, cost, head = parse(raw)
  local left = redis.call('PTTL', key)
  if not size then
    return left, 0, 0
  end
  if not intact(raw, size, head) then
    return nil, grace, cost, true
  end
  if left < 0 then
    return left, grace, cost
  end
  left = left - grace
  return left > 0 and left or nil, grace, cost
end

-- The version of a tag; nil for one that is not known, or not one of ours.
local function version_of(tag)
  local version = redis.pcall('GET', tag)
  return type(version) == 'string' and string.match(version, '^%d+$') or nil
end

local function now()
  local time = redis.call('TIME')
  return time[1] .. string.format('%06d', time[2])
end

-- Whether the holder of a lease is a task that has not begun yet.
local function queued(holder)
  return string.sub(holder, 1, 1) == 'q'
end

-- Whether nobody is at it, since a loader failed a moment ago.
local function resting(holder)
  return string.sub(holder, 1, 1) == 'r'
end

-- What one who may compute is told: what is there, whether the lease is its, whose it is, the time, and the versions of
-- the tags KEYS[3..]. A tag that is new lives for so many milliseconds.
local function found(raw, mine, holder, life)
  local time = now()
  local reply = {raw or '', mine, holder, time}
  for i = 3, #KEYS do
    local version = version_of(KEYS[i])
    if not version then
      version = time
      redis.call('SET', KEYS[i], version, 'PX', life)
    end
    reply[#reply + 1] = version
  end
  return reply
end
