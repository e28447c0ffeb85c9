-- What the scripts of rate limits share: it is put before those that begin with "--!limit".
-- KEYS are the limits of one client. ARGV: the cost of the hit, 1 to count it or 0 to look, and for each limit how much
-- it is, in how many microseconds, and the burst. Returns for each limit {used, reset, retry}, the latter two in
-- microseconds; retry is 0 where the hit fits. It is counted if it fits all of them, else by none. The server's clock
-- decides.
--
-- judge(key, now, cost, limit, window, burst) returns what is used before the hit, when all of it is there again, how
-- long to wait until the hit fits (0: it does), and a function that counts it and returns the new reset.
local function decide(judge)
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local cost = tonumber(ARGV[1])
  local fits = ARGV[2] == '1'
  local replies, keep = {}, {}
  for i, key in ipairs(KEYS) do
    local at = 3 * i
    local limit, window, burst = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    local used, reset, retry
    used, reset, retry, keep[i] = judge(key, now, cost, limit, window, burst)
    replies[i] = {used, math.ceil(reset), math.ceil(retry)}
    fits = fits and retry <= 0
  end
  if fits then
    for i = 1, #KEYS do
      local used, reset = keep[i]()
      replies[i] = {used, math.ceil(reset), 0}
    end
  end
  return replies
end

local function write(key, value, microseconds)
  redis.call('SET', key, value, 'PX', string.format('%.0f', math.ceil(microseconds / 1000)))
end
