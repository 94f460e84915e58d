-- Zones: their status index, and what lies above.
-- uses: common

-- Since when a zone is left, by moving away or being deleted, decides what a policy makes of its certificates.
local function move_zone(id, from, to, score)
  if from then redis.call('ZREM', 'zones:' .. from, id) end
  if to == 'moved' or to == 'deleted' then
    redis.call('ZADD', 'zones-left', 'NX', (now_parts()), id)
  elseif to == 'active' then
    redis.call('ZREM', 'zones-left', id)
  end
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

-- The name servers of other customers' zones of these names, whatever their status or once active ones alone: adds them to
-- the set.
local function add_foreign_servers(servers, names, customer, was_active)
  for _, each in ipairs(names) do
    local holders = redis.call('HGETALL', 'zone-name:' .. each)
    for i = 1, #holders, 2 do
      local zone = redis.call('HMGET', 'zone:' .. holders[i + 1], 'customer', 'servers', 'activated')
      if zone[1] and zone[1] ~= customer and (zone[3] or not was_active) then
        for server in string.gmatch(zone[2] or '', '%S+') do servers[server] = true end
      end
    end
  end
  return servers
end
