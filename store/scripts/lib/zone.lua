-- Zones: their status index, and what lies above.
local function move_zone(id, from, to, score)
  if from then redis.call('ZREM', 'zones:' .. from, id) end
  redis.call('ZADD', 'zones:' .. to, score, id)
  redis.call('HSET', 'zone:' .. id, 'status', to)
end

-- The names above, closest first.
local function names_above(name)
  local names, above = {}, string.match(name, '%.(.+)$')
  while above do
    names[#names + 1] = above
    above = string.match(above, '%.(.+)$')
  end
  return names
end

-- The name servers of other customers' zones of that name and above, whatever their status: a set of them.
local function foreign_servers(name, customer)
  local servers, names = {}, names_above(name)
  names[#names + 1] = name
  for _, each in ipairs(names) do
    local holders = redis.call('HGETALL', 'zone-name:' .. each)
    for i = 1, #holders, 2 do
      local zone = redis.call('HMGET', 'zone:' .. holders[i + 1], 'customer', 'servers')
      if zone[1] and zone[1] ~= customer then
        for server in string.gmatch(zone[2] or '', '%S+') do servers[server] = true end
      end
    end
  end
  return servers
end
