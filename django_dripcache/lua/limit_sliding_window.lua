--!limit
-- Sliding window: in no stretch of a window's length is more than the limit admitted. A log of the hits, as in the
-- "sliding window log" of Figma's "An alternative approach to rate limiting" (2017), made finite: a limit above 64 is
-- logged in slots of a 64th of the window, whose hits all count until the latest of them is a window old. So memory is
-- bounded by 65 pairs of numbers, and what was used is there again at most a 64th of the window late.
-- One key, "time used time used ...", the oldest first, in microseconds.
local SLOTS = 64
return decide(function(key, now, cost, limit, window)
  local times, hits, used = {}, {}, 0
  for time, hit in string.gmatch(redis.call('GET', key) or '', '(%d+) (%d+)') do
    local at = math.min(tonumber(time), now)  -- a clock that was set back
    if at > now - window then
      times[#times + 1], hits[#hits + 1] = at, tonumber(hit)
      used = used + tonumber(hit)
    end
  end
  local retry, left = 0, used
  for i = 1, #times do
    if left + cost <= limit then
      break
    end
    left = left - hits[i]
    retry = times[i] + window - now
  end
  return used, #times > 0 and times[#times] + window - now or 0, retry, function()
    local slot = limit > SLOTS and window / SLOTS or 0
    if slot > 0 and #times > 0 and math.floor(times[#times] / slot) == math.floor(now / slot) then
      times[#times], hits[#hits] = now, hits[#hits] + cost
    else
      times[#times + 1], hits[#hits + 1] = now, cost
    end
    local log = {}
    for i = 1, #times do
      log[i] = string.format('%.0f %.0f', times[i], hits[i])
    end
    write(key, table.concat(log, ' '), window)
    return used + cost, window
  end
end)
