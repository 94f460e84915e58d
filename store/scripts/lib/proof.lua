-- What a good DNS check does for the zones it was about.
-- uses: zone, edge

-- The zone becomes active by a check of that time and takes its name, also from another customer's zone.
local function activate_zone(id, zone, checked, now, micros, tells_edges)
  local by_name = 'zone-name:' .. zone.name
  local other = redis.call('HGET', by_name, 'active')
  if other and other ~= id then
    note_held({name = zone.name, customer = redis.call('HGET', 'zone:' .. other, 'customer')}, checked)
    move_zone(other, 'active', 'moved', micros)
    redis.call('HSET', 'zone:' .. other, 'reason', 'another customer\'s zone of this name has become active')
    redis.call('ZADD', 'zones-due', now, other)
    if tells_edges then add_edge_event(micros, 'event', 'zone-withdrawn', 'zone', other, 'name', zone.name) end
  end
  redis.call('HSET', by_name, 'active', id)
  redis.call('HSET', 'zone:' .. id, 'activated', now)
  move_zone(id, zone.status, 'active', micros)
  if tells_edges and zone.status == 'moved' then
    add_edge_event(micros, 'event', 'zone-restored', 'zone', id, 'name', zone.name)
  end
end

-- The check of an order held in all its zones. One that is pending or moved is active from now on: who has just mended
-- his delegation does not wait for the sweep. From another customer's active zone an order takes nothing. In both cases
-- the zone is due for a check of its own: it writes down the delegation, decides between two customers, and has it recorded in
-- the ledger that a zone came back (`unrecorded`).
local function note_proof(order_id, zones, checked, now, micros, tells_edges)
  for id in string.gmatch(zones, '%S+') do
    local key = 'zone:' .. id
    local zone = load_hash(key)
    local waits = zone and (zone.status == 'pending' or zone.status == 'moved')
    if waits and tonumber(checked) > tonumber(zone.checked or '0') then
      local is_stale = tonumber(checked) < checks_not_before() or held_by_others(zone.name, zone.customer) > tonumber(checked)
      if not is_stale and not redis.call('HGET', 'zone-name:' .. zone.name, 'active') then
        redis.call('HSET', key, 'checked', checked, 'negatives', 0, 'reason',
                   'the check of order ' .. order_id .. ' has shown the delegation; its evidence is the order\'s')
        redis.call('HDEL', key, 'evidence')
        if zone.status == 'moved' then redis.call('HSET', key, 'unrecorded', 1) end
        activate_zone(id, zone, tonumber(checked), now, micros, tells_edges)
      end
      redis.call('ZADD', 'zones-due', 'LT', now, id)
    end
  end
end
