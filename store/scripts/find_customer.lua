-- Finds a customer by id, else by name. A word that is the id of one and the name of another (of before names were kept from having
-- the form of ids) finds neither.
-- keys: customer:<id>, customer-names
-- arguments: id or name
-- result: ok, id, fields | notfound | conflict
-- uses: common
local wanted = ARGV[1]
local id, named = wanted, redis.call('HGET', 'customer-names', wanted)
local map, flat = load_hash('customer:' .. id)
if map and named and named ~= id then
  return {'conflict', wanted .. ' is the id of the customer ' .. (map.name or '') .. ' and the name of the customer ' .. named ..
          ': say ' .. (map.name or '') .. ' or ' .. named}
end
if not map and named then
  id = named
  map, flat = load_hash('customer:' .. id)
end
if not map then return {'notfound', 'no such customer'} end
return {'ok', id, flat}
