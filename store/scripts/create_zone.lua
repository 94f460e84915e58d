-- Adds a zone, pending, with the first set of name servers that no other customer's zone of that name has; where it
-- can be, one that shares none with another customer's zone above, whose servers could not show its delegation.
-- keys: customer:<id>, zone:<id>, zone-name:<name or what is above>, zones, zones:pending, customer-zones:<customer>, zones-due
-- arguments: id, name, customer, then the candidate sets, each its names with blanks between
-- result: ok, id, fields | conflict, message, id, fields (of the one that exists) | notfound | limit
-- uses: common, zone
local id, name, customer = ARGV[1], ARGV[2], ARGV[3]
local now, micros = now_parts()
local by_name = load_hash('zone-name:' .. name) or {}
if by_name[customer] then
  local existing = by_name[customer]
  local _, flat = load_hash('zone:' .. existing)
  return {'conflict', 'the customer has this zone already', existing, flat}
end
if redis.call('EXISTS', 'customer:' .. customer) == 0 then return {'notfound', 'no such customer'} end
local taken = {}
for holder, zone in pairs(by_name) do
  if holder ~= 'active' then taken[redis.call('HGET', 'zone:' .. zone, 'servers') or ''] = true end
end
local above = {}
local _, parent = find_foreign_parent(name, customer)
if parent then
  for server in string.gmatch(redis.call('HGET', 'zone:' .. parent, 'servers'), '%S+') do above[server] = true end
end
local servers
for i = 4, #ARGV do
  local is_shared = false
  for server in string.gmatch(ARGV[i], '%S+') do is_shared = is_shared or above[server] end
  if not taken[ARGV[i]] then
    servers = (is_shared and servers) or ARGV[i]
    if not is_shared then break end
  end
end
if not servers then
  return {'limit', 'every set of name servers is assigned to other customers\' zones of this name'}
end
redis.call('HSET', 'zone:' .. id, 'name', name, 'customer', customer, 'status', 'pending', 'servers', servers,
           'created', now)
redis.call('HSET', 'zone-name:' .. name, customer, id)
redis.call('ZADD', 'zones', micros, id)
redis.call('ZADD', 'zones:pending', micros, id)
redis.call('ZADD', 'customer-zones:' .. customer, micros, id)
redis.call('ZADD', 'zones-due', now, id)
local _, flat = load_hash('zone:' .. id)
return {'ok', id, add_foreign_parent(flat, name, customer)}
