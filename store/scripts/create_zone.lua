-- Adds a zone, pending, with a set of name servers of its own: none that today's delegation of the name, or one that another
-- customer left behind (lib/delegation.lua), would prove at once; a former holder gets what he had. Where it can be, it shares
-- no server with another customer's zone above, whose servers could not show its delegation, nor with one of this name; where
-- many have added it, it shares rather with those who never showed that it is theirs.
-- A plan judges and changes nothing.
-- keys: customer:<id>, zone:<id>, zone-name:<name or what is above>, name-sets:<name>, zones, zones:pending,
--   zones-lost, customer-zones:<customer>, zones-due, ledger-rights, ledger:<host>
-- arguments: id, name, customer, whether the delegation was looked at, the servers that it names (blanks between), number of
--   servers in a set, whether it is a plan, the right (lib/right.lua), then the pool in the order of preference
-- result: ok, id, fields (of a plan none) | conflict, message, id, fields (of the one that exists) | notfound | limit
-- uses: common, zone, delegation, assignment, right
local function find_least_shared(pool, name, customer, count, within, around)
  local above = names_above(name)
  local of_anybody = add_foreign_servers(add_foreign_servers({}, above, customer), {name}, customer)
  local of_owners = add_foreign_servers(add_foreign_servers({}, above, customer), {name}, customer, true)
  for _, avoided in ipairs({of_anybody, of_owners, add_foreign_servers({}, above, customer), {}}) do
    local set = find_set(without(pool, avoided), count, within, around)
    if set then return set end
  end
  return nil
end

local id, name, customer = ARGV[1], ARGV[2], ARGV[3]
local was_looked_at, delegation, count = ARGV[4] == '1', words(ARGV[5]), tonumber(ARGV[6])
local is_plan = ARGV[7] == '1'
local _, pool_at = take_right(8)
local pool = {unpack(ARGV, pool_at)}
local now, micros = now_parts()
local existing = redis.call('HGET', 'zone-name:' .. name, customer)
if existing == id then -- repeated after an unknown outcome
  local map, flat = load_hash('zone:' .. id)
  add_rivals(flat, name, customer, map.status, map.servers, map.blind)
  return {'ok', id, add_zones_above(flat, name, customer)}
elseif existing then
  local _, flat = load_hash('zone:' .. existing)
  return {'conflict', 'the customer has this zone already', existing, flat}
end
if redis.call('EXISTS', 'customer:' .. customer) == 0 then return {'notfound', 'no such customer'} end
local sets = load_sets(name)
local taken, told = taken_sets(name, customer, sets)
local servers = former_set(pool, customer, sets, taken)
local is_blind = not servers and not was_looked_at
if not servers then
  if #delegation > 0 then table.insert(taken.within, delegation) end
  servers = find_least_shared(pool, name, customer, count, joined(taken.within, told), taken.around) or
    find_least_shared(pool, name, customer, count, taken.within, taken.around)
end
if not servers then
  return {'limit', string.format('the pool of %d name servers has no set of %d left for %s: %d are other customers\' or what ' ..
          'it is delegated to, and stay theirs while a delegation may be left behind; another zone of this name needs a pool ' ..
          'of %d (dns.name_server_pool)', #pool, count, name, #taken.within,
          pool_needed(pool, count, taken.within, taken.around))}
end
if is_plan then return {'ok', id, {}} end
redis.call('HSET', 'zone:' .. id, 'name', name, 'customer', customer, 'status', 'pending', 'servers',
           table.concat(servers, ' '), 'created', now)
if is_blind then redis.call('HSET', 'zone:' .. id, 'blind', 1) end
redis.call('HSET', 'zone-name:' .. name, customer, id)
redis.call('ZREM', 'zones-lost', id)
redis.call('ZADD', 'zones', micros, id)
redis.call('ZADD', 'zones:pending', micros, id)
redis.call('ZADD', 'customer-zones:' .. customer, micros, id)
redis.call('ZADD', 'zones-due', now, id)
local _, flat = load_hash('zone:' .. id)
add_rivals(flat, name, customer, 'pending', table.concat(servers, ' '), is_blind)
return {'ok', id, add_zones_above(flat, name, customer)}
