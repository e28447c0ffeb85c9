-- Adds to the figures of a minute, KEYS[1], and of an hour, KEYS[2], and to whom limits denied in that hour, KEYS[3].
-- ARGV: the milliseconds that a minute, an hour and the denied are kept; how many pairs of a field and a number are for
-- both, how many for the hour alone, how many of whom and how often; those pairs; how many of the denied are kept.
local pairs_of = {tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])}
local at = 7
local function each(count, act)
  for _ = 1, count do
    act(ARGV[at], ARGV[at + 1])
    at = at + 2
  end
end

each(pairs_of[1], function(field, number)
  redis.call('HINCRBY', KEYS[1], field, number)
  redis.call('HINCRBY', KEYS[2], field, number)
end)
each(pairs_of[2], function(field, number)
  redis.call('HINCRBY', KEYS[2], field, number)
end)
each(pairs_of[3], function(who, times)
  redis.call('ZINCRBY', KEYS[3], times, who)
end)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
if pairs_of[3] > 0 then
  redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - tonumber(ARGV[at]))
  redis.call('PEXPIRE', KEYS[3], ARGV[3])
end
return 1
