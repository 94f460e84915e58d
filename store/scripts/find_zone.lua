-- Finds a zone by id, else by name: the customer's one, or without customer the only or the active one. Where it must be the only
-- one with certificates the active one is not preferred, and one that was deleted lately counts too.
-- keys: zone:<id>, zone-name:<name or what is above>, name-sets:<name>, zones-left:<name>, zone-certificates:<id>
-- arguments: name or id, customer or '', 1 where it must be the only one with certificates
-- result: ok, id, fields | notfound | conflict
-- uses: common, zone, delegation
local wanted, customer = ARGV[1], ARGV[2]
local HOLDERS_TOLD = 4

-- "shop (moved, ID), ..." where more than one zone of the name has certificates; else nil.
local function tell_holders(by_name)
  local told, seen, count = {}, {}, 0
  local function add(zone)
    local found = redis.call('HMGET', 'zone:' .. zone, 'customer', 'status')
    if seen[zone] or not found[1] or redis.call('EXISTS', 'zone-certificates:' .. zone) == 0 then return end
    seen[zone], count = true, count + 1
    if count > HOLDERS_TOLD then return end
    local name = redis.call('HGET', 'customer:' .. found[1], 'name') or found[1]
    told[count] = name .. ' (' .. (found[2] or '?') .. ', ' .. zone .. ')'
  end
  for _, zone in pairs(by_name) do add(zone) end
  for zone in pairs(load_hash('zones-left:' .. wanted) or {}) do add(zone) end
  return count > 1 and table.concat(told, ', ') .. (count > HOLDERS_TOLD and ', ...' or '') or nil
end

local id = wanted
local map, flat = load_hash('zone:' .. id)
if not map then
  local by_name = load_hash('zone-name:' .. wanted) or {}
  local holders = ARGV[3] == '1' and customer == '' and tell_holders(by_name)
  if holders then
    return {'conflict', 'several zones of this name have certificates; say which customer, or give a zone\'s id: ' .. holders}
  end
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
return {'ok', id, add_others_zones(flat, map.name, map.customer)}
