-- Adds an external account binding key of a customer; repeating it changes nothing.
-- keys: customer:<id>, eab:<kid>, customer-eab:<customer>
-- arguments: kid, customer
-- result: ok, created | notfound
-- uses: common
local kid, customer = ARGV[1], ARGV[2]
local now, micros = now_parts()
if redis.call('EXISTS', 'customer:' .. customer) == 0 then return {'notfound', 'no such customer'} end
local key = 'eab:' .. kid
if redis.call('EXISTS', key) == 0 then
  redis.call('HSET', key, 'customer', customer, 'created', now)
  redis.call('ZADD', 'customer-eab:' .. customer, micros, kid)
end
return {'ok', redis.call('HGET', key, 'created')}
