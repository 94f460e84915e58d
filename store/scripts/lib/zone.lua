-- Zones: their status index, and whether things may be issued for them.
local function move_zone(id, from, to, score)
  if from then redis.call('ZREM', 'zones:' .. from, id) end
  redis.call('ZADD', 'zones:' .. to, score, id)
  redis.call('HSET', 'zone:' .. id, 'status', to)
end

-- Name and id of the closest active zone above, where it is another customer's.
local function find_foreign_parent(name, customer)
  local above = string.match(name, '%.(.+)$')
  while above do
    local id = redis.call('HGET', 'zone-name:' .. above, 'active')
    if id then
      if redis.call('HGET', 'zone:' .. id, 'customer') == customer then return nil end
      return above, id
    end
    above = string.match(above, '%.(.+)$')
  end
  return nil
end

-- The servers of other customers' zones that a zone of this name should not share.
local function foreign_servers(name, customer)
  local servers = {}
  local _, parent = find_foreign_parent(name, customer)
  for server in string.gmatch(parent and redis.call('HGET', 'zone:' .. parent, 'servers') or '', '%S+') do
    servers[server] = true
  end
  return servers
end

-- A zone's fields for a reply, and with them that zone's name.
local function add_foreign_parent(flat, name, customer)
  local above = find_foreign_parent(name, customer)
  if above then
    flat[#flat + 1] = 'foreign_parent'
    flat[#flat + 1] = above
  end
  return flat
end

-- nil, or why nothing may be issued for these zones (ids with blanks between) to that customer ('' is anybody).
local function zones_problem(zones, customer)
  for id in string.gmatch(zones, '%S+') do
    local zone = redis.call('HMGET', 'zone:' .. id, 'status', 'customer', 'name')
    if not zone[1] or zone[1] == 'deleted' then return 'zone ' .. (zone[3] or id) .. ' is not here any more' end
    if customer ~= '' and zone[2] ~= customer then return 'zone ' .. zone[3] .. ' is not the customer\'s' end
    if zone[1] == 'paused' then return 'zone ' .. zone[3] .. ' is paused' end
  end
  return nil
end
