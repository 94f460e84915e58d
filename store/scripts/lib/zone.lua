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

-- A zone's fields for a reply, and with them the zones above that are the same customer's, whatever their status, as
-- "name=server,server" with blanks between: what a check may believe of their servers.
local function add_own_above(flat, name, customer)
  local own = {}
  for _, above in ipairs(names_above(name)) do
    local id = customer and redis.call('HGET', 'zone-name:' .. above, customer)
    local servers = id and redis.call('HGET', 'zone:' .. id, 'servers')
    if servers then own[#own + 1] = above .. '=' .. string.gsub(servers, ' ', ',') end
  end
  if #own > 0 then
    flat[#flat + 1] = 'own_above'
    flat[#flat + 1] = table.concat(own, ' ')
  end
  return flat
end

-- The name servers of other customers' zones above, whatever their status: a set of them.
local function servers_above(name, customer)
  local servers = {}
  for _, above in ipairs(names_above(name)) do
    local holders = redis.call('HGETALL', 'zone-name:' .. above)
    for i = 1, #holders, 2 do
      local zone = redis.call('HMGET', 'zone:' .. holders[i + 1], 'customer', 'servers')
      if zone[1] and zone[1] ~= customer then
        for server in string.gmatch(zone[2] or '', '%S+') do servers[server] = true end
      end
    end
  end
  return servers
end
