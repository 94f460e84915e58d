-- Adds a customer whose name is not taken; repeating it changes nothing.
-- keys: customers, customer:<id>, customer-names
-- arguments: id, name
-- result: ok, created | conflict
-- uses: common
local id, name = ARGV[1], ARGV[2]
local now, micros = now_parts()
local holder = redis.call('HGET', 'customer-names', name)
if holder == id then return {'ok', redis.call('HGET', 'customer:' .. id, 'created')} end
if holder then
  return {'conflict', 'a customer of this name exists already'}
end
redis.call('HSET', 'customer-names', name, id)
redis.call('HSET', 'customer:' .. id, 'name', name, 'created', now)
redis.call('ZADD', 'customers', micros, id)
return {'ok', tostring(now)}
