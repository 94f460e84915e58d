-- A failed check makes the next try of that name wait, twice as long each time; a good one ends it.
-- keys: limit:failed-checks:<subject>
-- arguments: first pause in seconds, longest pause, {subject, has failed} ...
-- result: ok
-- uses: common
local _, micros = now_parts()
local now = math.floor(micros / 1000)
for i = 3, #ARGV, 2 do
  local key = 'limit:failed-checks:' .. ARGV[i]
  if ARGV[i + 1] == '0' then
    redis.call('DEL', key)
  else
    local count = redis.call('HINCRBY', key, 'count', 1)
    local pause = math.min(tonumber(ARGV[2]), tonumber(ARGV[1]) * 2 ^ math.min(count - 1, 30))
    redis.call('HSET', key, 'until', string.format('%.0f', now + pause * 1000))
    redis.call('EXPIRE', key, math.ceil(pause) + tonumber(ARGV[2]))
  end
end
return {'ok'}
