--!entry
-- Return what is stored at KEYS[1] if it is fresh. Else, or if it is early to be computed anew, take the lease KEYS[2]
-- and return {value, whether the lease was taken, who holds it, the time, a version for each tag}.
-- KEYS[3..] are tags. ARGV: an owner, the lease in ms, a factor of the cost for early computing, how long a new tag
-- lives in ms, the SHA-1 of a value that cannot be used ('*' is for any value, and takes the lease from its holder),
-- and the lease in ms where a task is to compute what is stale, else ''. A lease that is in a queue, or rests, gives way
-- to one who finds nothing. With ARGV[7], what is fresh comes with the milliseconds that it is fresh for (-1: no end).
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
      return ARGV[7] ~= '' and {raw, left} or raw
    end
    early = true
  end
end
local owner, lease = ARGV[1], ARGV[2]
if raw and ARGV[6] ~= '' then
  owner, lease = 'q' .. owner, ARGV[6]
end
local holder = redis.call('GET', KEYS[2])
local free = not holder or anew or (not raw and (queued(holder) or resting(holder)))
if free then
  redis.call('SET', KEYS[2], owner, 'PX', lease)
elseif early then
  return raw
end
return found(raw, free and 1 or 0, free and owner or holder, ARGV[4])
