--!limit
-- Fixed window: hits are counted from the first one on, until its window is over. Up to twice the limit may come within
-- one window's length, around the end of a window.
-- One key, "end used": when the window is over in microseconds, and how much was used.
return decide(function(key, now, cost, limit, window)
  local last, used = string.match(redis.call('GET', key) or '', '^(%d+) (%d+)$')
  last, used = tonumber(last), tonumber(used)
  if not last or last <= now or last > now + window then
    last, used = now + window, 0
  end
  local over = used + cost > limit
  return used, used > 0 and last - now or 0, over and last - now or 0, function()
    write(key, string.format('%.0f %.0f', last, used + cost), last - now)
    return used + cost, last - now
  end
end)
