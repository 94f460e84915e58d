-- Finds a customer by id, else by name.
-- keys: customer:<id>, customer-names
-- arguments: id or name
-- result: ok, id, fields | notfound
-- uses: common
local id = ARGV[1]
local map, flat = load_hash('customer:' .. id)
if not map then
  id = redis.call('HGET', 'customer-names', ARGV[1])
  if id then map, flat = load_hash('customer:' .. id) end
end
if not map then return {'notfound', 'no such customer'} end
return {'ok', id, flat}
