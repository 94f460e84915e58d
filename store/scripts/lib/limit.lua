-- A rate limit lets `allowed` units through in `window` seconds, evenly refilled: its key holds the time in ms at which it
-- would be empty again (GCRA). A clock that was set back closes no limit for longer than its window.

-- That time once `cost` more units are taken, `held` being what the key holds. There is no room for them where it lies more
-- than a window ahead.
local function filled_until(held, cost, allowed, window, now)
  local span = window * 1000
  return math.min(math.max(now, tonumber(held or '0')), now + span) + cost * span / allowed
end

local function fill(key, ends, now)
  redis.call('SET', key, math.floor(ends + 0.5), 'PX', math.max(1, math.ceil(ends - now)))
end

-- A pause's key holds "<ms at which it ends>:<failures in a row>".
local function paused_until(held)
  return tonumber(held and string.match(held, '^%d+') or '0')
end
