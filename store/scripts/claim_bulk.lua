-- The first job of the queue that nobody works on becomes this process's.
-- keys: bulk-open, bulk:<id>
-- arguments: holder, host, lease in ms
-- result: ok, or ok, id, {fields}
-- uses: bulk
local holder, host, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local reply = {'ok'}
look_through_queue(function(id, _, is_held_by)
  if is_held_by and is_held_by ~= holder then return false end
  local key = 'bulk:' .. id
  redis.call('HSET', key, 'holder', holder, 'host', host, 'lease', string.format('%.0f', now_ms() + lease))
  reply[2], reply[3] = id, redis.call('HGETALL', key)
  return true
end)
return reply
