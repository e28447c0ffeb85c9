--!entry
-- Return what is stored at KEYS[1] if it is fresh, or, with ARGV[1] = 'left', its milliseconds (-1: no end, -2: none).
local raw
if ARGV[1] == 'left' then
  raw = stored(KEYS[1])
else
  raw = redis.call('GET', KEYS[1])
end
local size = raw and parse(raw)
if ARGV[1] ~= 'left' and not size then
  return raw
end
local left = raw and fresh(KEYS[1], raw)
if ARGV[1] == 'left' then
  return left or -2
end
return left and raw
