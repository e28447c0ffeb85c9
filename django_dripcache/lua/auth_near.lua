--!auth
-- Return for each entry of auth, KEYS[2..], that stands the entry, and for how many milliseconds it and its stamps stay
-- (-1: without end); false for each that does not stand. KEYS[1] is the stamp of all.
local entries = {}
for i = 2, #KEYS do
  local entry = text('GET', KEYS[i])
  local stamps = stamps_of(entry)
  entries[i - 1] = false
  if stamps then
    local left = redis.call('PTTL', KEYS[i])
    for _, stamp in ipairs(stamps) do
      local rest = redis.call('PTTL', stamp)
      if rest >= 0 and (left < 0 or rest < left) then
        left = rest
      end
    end
    entries[i - 1] = {entry, left}
  end
end
return entries
