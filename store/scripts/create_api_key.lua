-- Adds an API key of a customer: only a hash of it comes here. Repeating it changes nothing.
-- keys: customer:<id>, api-key:<id>, customer-api-keys:<customer>
-- arguments: id, customer, kind, hash, rights and zones (blanks between; no zones: all of the customer), name or ''
-- result: ok, created | notfound
-- uses: common
local id, customer, kind, hash, rights, zones, name = unpack(ARGV, 1, 7)
local now, micros = now_parts()
if redis.call('EXISTS', 'customer:' .. customer) == 0 then return {'notfound', 'no such customer'} end
local key = 'api-key:' .. id
if redis.call('EXISTS', key) == 0 then
  redis.call('HSET', key, 'customer', customer, 'kind', kind, 'hash', hash, 'rights', rights, 'created', now)
  if zones ~= '' then redis.call('HSET', key, 'zones', zones) end
  if name ~= '' then redis.call('HSET', key, 'name', name) end
  redis.call('ZADD', 'customer-api-keys:' .. customer, micros, id)
end
return {'ok', redis.call('HGET', key, 'created')}
