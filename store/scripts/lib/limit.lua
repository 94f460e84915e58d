-- A rate limit lets `allowed` units through in `window` seconds, evenly refilled: its key holds the time in ms at which it
-- would be empty again (GCRA). A clock that was set back closes no limit for longer than its window.

-- That time once `cost` more units are taken. There is no room for them where it lies more than a window ahead.
local function filled_until(key, cost, allowed, window, now)
  local span = window * 1000
  local held = math.min(math.max(now, tonumber(redis.call('GET', key) or '0')), now + span)
  return held + cost * span / allowed
end

local function fill(key, ends, now)
  redis.call('SET', key, string.format('%.0f', ends), 'PX', math.max(1, math.ceil(ends - now)))
end
