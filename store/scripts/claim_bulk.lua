-- The oldest job that nobody works on becomes this process's.
-- keys: bulk-open, bulk:<id>
-- arguments: holder, host, lease in ms
-- result: ok, or ok, id, {fields}
-- uses: bulk
local holder, host, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local now = now_ms()
for _, id in ipairs(redis.call('ZRANGE', 'bulk-open', 0, 99)) do
  local key = 'bulk:' .. id
  local known = redis.call('HMGET', key, 'state', 'holder', 'lease')
  if known[1] ~= 'running' then
    redis.call('ZREM', 'bulk-open', id)
  elseif not known[2] or known[2] == holder or tonumber(known[3]) < now then
    redis.call('HSET', key, 'holder', holder, 'host', host, 'lease', string.format('%.0f', now + lease))
    return {'ok', id, redis.call('HGETALL', key)}
  end
end
return {'ok'}
