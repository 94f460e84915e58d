-- Ends an API key, once and for ever; what is left of it is for the list.
-- keys: api-key:<id>
-- arguments: id, customer
-- result: ok | notfound
-- uses: common
local key = 'api-key:' .. ARGV[1]
if redis.call('HGET', key, 'customer') ~= ARGV[2] then return {'notfound', 'the customer has no API key of this id'} end
redis.call('HSETNX', key, 'revoked', (now_parts()))
redis.call('HDEL', key, 'hash')
return {'ok'}
