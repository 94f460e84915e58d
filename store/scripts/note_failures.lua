-- Names whose DNS check failed: the next try of each waits, twice as long each time, and they count for whoever asked. Checks
-- that ran at the same time are one failure. The certificate of an exempt order that comes to nothing exempts again.
-- keys: limit:failed-checks:<subject>, limit:<kind>:<subject>, limit:renewal:<serial>
-- arguments: kind and subject of the limit of failures, allowed (0: no limit), its window in seconds, serial of the
--   certificate or '', first pause in seconds (0: none), longest pause, subject ...
-- result: ok
-- uses: common, limit
local _, micros = now_parts()
local now = math.floor(micros / 1000)
local allowed, window, serial = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local first, longest = tonumber(ARGV[6]), tonumber(ARGV[7])
local failed = #ARGV - 7
if serial ~= '' then redis.call('DEL', 'limit:renewal:' .. serial) end
if allowed > 0 and failed > 0 then
  local key = 'limit:' .. ARGV[1] .. ':' .. ARGV[2]
  fill(key, math.min(filled_until(redis.call('GET', key), failed, allowed, window, now), now + window * 1000), now)
end
if first == 0 or failed == 0 then return {'ok'} end

local keys = {}
for i = 8, #ARGV do keys[#keys + 1] = 'limit:failed-checks:' .. ARGV[i] end
for i, held in ipairs(redis.call('MGET', unpack(keys))) do
  if paused_until(held) <= now then
    local count = tonumber(held and string.match(held, '%d+$') or '0') + 1
    local pause = math.min(longest, first * 2 ^ math.min(count - 1, 30))
    local text = string.format('%.0f:%d', now + pause * 1000, count)
    redis.call('SET', keys[i], text, 'EX', math.ceil(pause) + longest)
  end
end
return {'ok'}
