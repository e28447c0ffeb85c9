--!limit
-- The generic cell rate algorithm: hits may come evenly, one each window / limit, and as many at once as the burst is.
-- It is written as the leaky bucket that ITU-T I.371 (Annex A) shows to be its equal: each hit adds to a level, which
-- drains with time. The level is in hits * microseconds of the window, so that it is a whole number.
-- One key, "time level", in microseconds.
return decide(function(key, now, cost, limit, window, burst)
  local time, level = string.match(redis.call('GET', key) or '', '^(%d+) (%d+)$')
  level = math.max(0, (tonumber(level) or 0) - math.max(0, now - (tonumber(time) or now)) * limit)
  level = math.min(level, burst * window)
  local over = level + cost * window - burst * window
  return math.ceil(level / window), level / limit, math.max(0, over) / limit, function()
    level = level + cost * window
    write(key, string.format('%.0f %.0f', now, level), level / limit)
    return math.ceil(level / window), level / limit
  end
end)
