-- Takes from rate limits, all or none. A limit lets `allowed` units through in `window` seconds, evenly refilled; its key
-- holds the time at which it would be empty again (GCRA). A limit with window 0 is a back-off: nothing before its time.
-- keys: limit:<kind>:<subject>
-- arguments: {key, cost, allowed, window in seconds} ...
-- result: ok, number of the limit that is exceeded (0: none), milliseconds until it has room
-- uses: common
local _, micros = now_parts()
local now = math.floor(micros / 1000)
local taken = {}
for i = 1, #ARGV, 4 do
  local key, cost, allowed, window = 'limit:' .. ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  if window == 0 then
    local ends = tonumber(redis.call('HGET', key, 'until') or '0')
    if ends > now then return {'ok', (i + 3) / 4, ends - now} end
  elseif allowed > 0 then
    local span = window * 1000
    local empty = math.max(now, tonumber(redis.call('GET', key) or '0')) + cost * span / allowed
    if empty - now > span then return {'ok', (i + 3) / 4, math.ceil(empty - now - span)} end
    taken[#taken + 1] = {key, empty, empty - now}
  end
end
for _, each in ipairs(taken) do
  redis.call('SET', each[1], string.format('%.0f', each[2]), 'PX', math.max(1, math.ceil(each[3])))
end
return {'ok', 0, 0}
