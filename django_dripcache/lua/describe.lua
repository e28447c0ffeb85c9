-- Return the type, the milliseconds left and the size of each of KEYS: in bytes, or how many members there are where
-- the server does not tell, or -1. What this user may not ask is '' and -1: nothing is refused for it.
local SIZES = {hash = 'HLEN', list = 'LLEN', set = 'SCARD', zset = 'ZCARD', stream = 'XLEN'}

local function ask(...)
  local found = redis.pcall(...)
  if type(found) == 'table' and found.err then
    return nil
  end
  return found
end

local function type_of(key)
  local found = ask('TYPE', key)
  if found then
    return found.ok
  end
  return ask('GETRANGE', key, 0, 0) and 'string' or ''
end

local function size_of(key, kind)
  if kind == 'string' then
    return ask('STRLEN', key)
  end
  return ask('MEMORY', 'USAGE', key) or (SIZES[kind] and ask(SIZES[kind], key))
end

local reply = {}
for _, key in ipairs(KEYS) do
  local kind = type_of(key)
  reply[#reply + 1] = {kind, redis.call('PTTL', key), size_of(key, kind) or -1}
end
return reply
