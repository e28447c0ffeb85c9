--!entry
-- Void all that was stored with one of the tags KEYS and return how many of them were known. A version is the time, and
-- never one that was before; what is unknown has no entry that could be valid.
local time, known = now(), 0
for _, key in ipairs(KEYS) do
  local version = version_of(key)
  if version then
    if version >= time then
      time = string.format('%.0f', tonumber(version) + 1)
    end
    redis.call('SET', key, time, 'KEEPTTL')
    known = known + 1
  end
end
return known
