-- Adds a customer whose name is not taken.
-- keys: customers, customer:<id>, customer-names
-- arguments: id, name
-- result: ok, created | conflict
-- uses: common
local id, name = ARGV[1], ARGV[2]
local now, micros = now_parts()
if redis.call('HSETNX', 'customer-names', name, id) == 0 then
  return {'conflict', 'a customer of this name exists already'}
end
redis.call('HSET', 'customer:' .. id, 'name', name, 'created', now)
redis.call('ZADD', 'customers', micros, id)
return {'ok', tostring(now)}
