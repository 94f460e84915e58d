-- Names whose DNS check failed: the next try of each waits, twice as long each time, and they count for whoever asked. Checks
-- that ran at the same time are one failure. The certificate of an exempt order that comes to nothing exempts again.
-- keys: limit:failed-checks:<subject>, limit:<kind>:<subject>, limit:renewal:<serial>
-- arguments: key of the limit of failures, allowed (0: no limit), its window in seconds, serial of the certificate or '',
--   first pause in seconds (0: none), longest pause, subject ...
-- result: ok
-- uses: common, limit
local _, micros = now_parts()
local now = math.floor(micros / 1000)
local allowed, window, serial = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local first, longest = tonumber(ARGV[5]), tonumber(ARGV[6])
local failed = #ARGV - 6
if serial ~= '' then redis.call('DEL', 'limit:renewal:' .. serial) end
if allowed > 0 and failed > 0 then
  local key = 'limit:' .. ARGV[1]
  fill(key, math.min(filled_until(key, failed, allowed, window, now), now + window * 1000), now)
end
for i = 7, first > 0 and #ARGV or 0 do
  local key = 'limit:failed-checks:' .. ARGV[i]
  if tonumber(redis.call('HGET', key, 'until') or '0') <= now then
    local count = redis.call('HINCRBY', key, 'count', 1)
    local pause = math.min(longest, first * 2 ^ math.min(count - 1, 30))
    redis.call('HSET', key, 'until', string.format('%.0f', now + pause * 1000))
    redis.call('EXPIRE', key, math.ceil(pause) + longest)
  end
end
return {'ok'}
