--!entry
-- Store ARGV[6] at KEYS[1] as an entry, and give up the lease KEYS[2]; 0 if the lease is not ARGV[1]'s any more.
-- KEYS[3..] are tags, ARGV[7..] their versions, '' for one that is not known yet. ARGV: the owner ('': no lease was
-- needed), how long the key lives in ms (-1: without end, 0: nothing is stored), the part of that which is grace, the
-- cost in ms, when the lease was taken ('': now). What a tag voided since then is not stored.
if ARGV[1] ~= '' and redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return 0
end
local ttl = tonumber(ARGV[2])
local time = now()
local versions, tags, void = {}, {}, false
for i = 3, #KEYS do
  local version, known = version_of(KEYS[i]), ARGV[i + 4]
  versions[i] = version
  if not version then
    void = void or ARGV[1] ~= ''
    version = time
  elseif known ~= '' then
    void = void or version ~= known
  elseif ARGV[5] ~= '' then
    void = void or version > ARGV[5]
  end
  tags[#tags + 1] = #KEYS[i] .. ' ' .. version .. ' ' .. KEYS[i]
end
if void or ttl == 0 then
  redis.call('UNLINK', KEYS[2])
  return void and 0 or 1
end
local entry = ARGV[6]
local grace, cost = tonumber(ARGV[3]), tonumber(ARGV[4])
if #tags > 0 or grace > 0 or cost > 0 then
  local list = table.concat(tags)
  local rest = string.format(' %.0f %.0f\n', grace, cost)
  -- The size of the header is a part of the header: of six digits, whatever it is.
  entry = string.format('\2221 %06d', 9 + #rest + #list) .. rest .. list .. entry
end
-- The value goes first: a server that is full refuses what would make it fuller only as the first write of a script.
if ttl < 0 then
  redis.call('SET', KEYS[1], entry)
else
  redis.call('SET', KEYS[1], entry, 'PX', ARGV[2])
end
local longer = string.format('%.0f', math.max(ttl, 0) + 60000)
for i = 3, #KEYS do
  if not versions[i] then
    redis.call('SET', KEYS[i], time, 'PX', longer)
  end
  if ttl < 0 then
    redis.call('PERSIST', KEYS[i])
  else
    local life = redis.call('PTTL', KEYS[i])
    if life >= 0 and life <= ttl then
      redis.call('PEXPIRE', KEYS[i], longer)
    end
  end
end
redis.call('UNLINK', KEYS[2])
return 1
