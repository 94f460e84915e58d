-- Zones: their status index, and whether things may be issued for them.
local function move_zone(id, from, to, score)
  if from then redis.call('ZREM', 'zones:' .. from, id) end
  redis.call('ZADD', 'zones:' .. to, score, id)
  redis.call('HSET', 'zone:' .. id, 'status', to)
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
