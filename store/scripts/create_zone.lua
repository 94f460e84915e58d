-- Adds a zone, pending, with a set of name servers of its own: none that today's delegation of the name, or one that another
-- customer left behind (lib/delegation.lua), would prove at once; a former holder gets what he had. Where it can be, it shares
-- no server with another customer's zone above, whose servers could not show its delegation, nor with one of this name or
-- below; where many have added such, it shares rather with those who never showed that it is theirs. An active zone of this
-- name, or above, keeps one server at least that no other of this name has.
-- A plan judges and changes nothing.
-- keys: customer:<id>, zone:<id>, zone-name:<name or what is above>, name-sets:<name>, zones, zones:pending,
--   zones-lost, customer-zones:<customer>, zones-due, zones-by-name, ledger-rights, ledger:<host>
-- arguments: id, name, customer, whether the delegation was looked at, the servers that it names (blanks between), number of
--   servers in a set, whether it is a plan, the right (lib/right.lua), then the pool in the order of preference
-- result: ok, id, fields (of a plan none) | conflict, message, id, fields (of the one that exists) | notfound | limit
-- uses: common, zone, zones_below, delegation, assignment, right
local function union(...)
  local all = {}
  for _, set in ipairs({...}) do
    for key in pairs(set) do all[key] = true end
  end
  return all
end

-- What to avoid, from all of it to nothing: a server that is shared with a zone above hides this zone's delegation, with one
-- below that somebody has shown to be his, that zone's; with one of this name it answers for either; with one below that
-- nobody has shown to be his it keeps the names there from this one. Strangers may have added so many zones above that these
-- have every server: then those count alone that somebody has shown to be his, so that nobody else's zones come to be shared.
local function servers_to_avoid(name, customer)
  local above = add_foreign_servers({}, names_above(name), customer)
  local above_owners = add_foreign_servers({}, names_above(name), customer, true)
  local below, below_owners = foreign_servers_below(name, customer)
  local of_name = add_foreign_servers({}, {name}, customer)
  local of_name_owners = add_foreign_servers({}, {name}, customer, true)
  local avoided = {}
  for _, hiding in ipairs({union(above, below_owners), union(above_owners, below_owners)}) do
    for _, set in ipairs({union(of_name, below), of_name, union(of_name_owners, below), of_name_owners}) do
      avoided[#avoided + 1] = union(hiding, set)
    end
  end
  for _, set in ipairs({union(above, below_owners), union(above_owners, below_owners), above, above_owners, {}}) do
    avoided[#avoided + 1] = set
  end
  return avoided
end

-- Those first that no other zone of the name has, so that the zone has one for itself where it can.
local function unshared_first(pool, of_name)
  local list = without(pool, of_name)
  for _, server in ipairs(pool) do
    if of_name[server] then list[#list + 1] = server end
  end
  return list
end

local function find_least_shared(pool, avoided_sets, count, within, around)
  for _, avoided in ipairs(avoided_sets) do
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
  return {'ok', id, add_others_zones(flat, name, customer)}
elseif existing then
  local _, flat = load_hash('zone:' .. existing)
  return {'conflict', 'the customer has this zone already', existing, flat}
end
if redis.call('EXISTS', 'customer:' .. customer) == 0 then return {'notfound', 'no such customer'} end
local sets = load_sets(name)
local taken, told = taken_sets(name, customer, sets)
local unshared = joined(unshared_servers(name, customer), unshared_servers_above(name, customer))
local servers = former_set(pool, customer, sets, joined(taken.within, unshared), taken.around)
local is_blind = not servers and not was_looked_at
if not servers then
  -- Foreign servers beside the pool's may be taken out of it any day.
  local ours = among(delegation, pool)
  if #ours > 0 then table.insert(taken.within, ours) end
  local avoided, within = servers_to_avoid(name, customer), joined(taken.within, unshared)
  local ordered = unshared_first(pool, add_foreign_servers({}, {name}, customer))
  servers = find_least_shared(ordered, avoided, count, joined(within, told), taken.around) or
    find_least_shared(ordered, avoided, count, within, taken.around)
end
if not servers then
  local within = joined(taken.within, unshared)
  local needed = pool_needed(pool, count, within, taken.around)
  if find_set(pool, count, taken.within, taken.around) then
    return {'limit', string.format('the pool of %d name servers has no set of %d left for %s: it is another customer\'s, and one ' ..
            'of his name servers at least keeps free of further zones of this name; another one needs a pool of %d ' ..
            '(dns.name_server_pool), or that one which was never delegated is deleted', #pool, count, name, needed)}
  end
  return {'limit', string.format('the pool of %d name servers has no set of %d left for %s: %d are other customers\' or what ' ..
          'it is delegated to, and stay theirs while a delegation may be left behind; another zone of this name needs a pool ' ..
          'of %d (dns.name_server_pool)', #pool, count, name, #taken.within, needed)}
end
if is_plan then return {'ok', id, {}} end
redis.call('HSET', 'zone:' .. id, 'name', name, 'customer', customer, 'status', 'pending', 'servers',
           table.concat(servers, ' '), 'created', now)
if is_blind then redis.call('HSET', 'zone:' .. id, 'blind', 1) end
redis.call('HSET', 'zone-name:' .. name, customer, id)
redis.call('ZREM', 'zones-lost', id)
redis.call('ZADD', 'zones', micros, id)
index_zone_name(id, name, customer)
redis.call('ZADD', 'zones:pending', micros, id)
redis.call('ZADD', 'customer-zones:' .. customer, micros, id)
redis.call('ZADD', 'zones-due', now, id)
local _, flat = load_hash('zone:' .. id)
add_rivals(flat, name, customer, 'pending', table.concat(servers, ' '), is_blind)
return {'ok', id, add_others_zones(flat, name, customer)}
