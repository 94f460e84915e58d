-- Orders in processing that wait for an attempt and whose time has come. They are due again after a lease, should whoever
-- takes them die.
-- keys: orders-waiting, order:<id>
-- arguments: limit, lease (ms)
-- result: ok, id ...
-- uses: common
local _, micros = now_parts()
local now = math.floor(micros / 1000)
local reply = {'ok'}
for _, id in ipairs(redis.call('ZRANGE', 'orders-waiting', '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])) do
  local order = redis.call('HMGET', 'order:' .. id, 'status', 'attempt')
  if order[1] == 'processing' and not order[2] then
    redis.call('ZADD', 'orders-waiting', now + tonumber(ARGV[2]), id)
    reply[#reply + 1] = id
  else
    redis.call('ZREM', 'orders-waiting', id)
  end
end
return reply
