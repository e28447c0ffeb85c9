--!entry
-- Return what is stored at KEYS[1] if it is fresh. Else, or if it is early to be computed anew, take the lease KEYS[2]
-- and return {value, whether the lease was taken, who holds it, the time, a version for each tag}.
-- KEYS[3..] are tags. ARGV: an owner, the lease in ms, a factor of the cost for early computing, how long a new tag
-- lives in ms, and the SHA-1 of a value that cannot be used; '*' is for any value, and takes the lease from its holder.
local anew = ARGV[5] == '*'
local raw = not anew and redis.call('GET', KEYS[1])
if raw and ARGV[5] ~= '' and redis.sha1hex(raw) == ARGV[5] then
  raw = false
end
local early = false
if raw then
  local left, _, cost, void = fresh(KEYS[1], raw)
  if void then
    raw = false
  elseif left then
    if left < 0 or cost * ARGV[3] < left then
      return raw
    end
    early = true
  end
end
if anew then
  redis.call('UNLINK', KEYS[2])
end
local taken = redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2])
if early and not taken then
  return raw
end
local time = now()
local reply = {raw or '', taken and 1 or 0, taken and ARGV[1] or redis.call('GET', KEYS[2]), time}
for i = 3, #KEYS do
  local version = redis.call('GET', KEYS[i])
  if not version then
    version = time
    redis.call('SET', KEYS[i], version, 'PX', ARGV[4])
  end
  reply[#reply + 1] = version
end
return reply
