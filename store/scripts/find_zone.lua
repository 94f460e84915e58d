-- Finds a zone by id, else by name: the customer's one, or without customer the only or the active one.
-- keys: zone:<id>, zone-name:<name or what is above>, name-sets:<name>
-- arguments: name or id, customer or ''
-- result: ok, id, fields | notfound | conflict
-- uses: common, zone, delegation
local wanted, customer = ARGV[1], ARGV[2]
local id = wanted
local map, flat = load_hash('zone:' .. id)
if not map then
  local by_name = load_hash('zone-name:' .. wanted) or {}
  id = customer ~= '' and by_name[customer] or customer == '' and by_name['active']
  if not id and customer == '' then
    local holders = 0
    for _, zone in pairs(by_name) do
      holders = holders + 1
      id = zone
    end
    if holders > 1 then return {'conflict', 'several customers have a zone of this name: say which customer'} end
  end
  if id then map, flat = load_hash('zone:' .. id) end
end
if not map or (customer ~= '' and map.customer ~= customer) then return {'notfound', 'no such zone'} end
add_rivals(flat, map.name, map.customer, map.status, map.servers, map.blind)
return {'ok', id, add_zones_above(flat, map.name, map.customer)}
