-- Whether something may be done for a name now. Every right that rests on a zone is looked up here, in the script that
-- acts on it, against who holds the name at this moment; doc/rights.md is the table.
-- uses: account, zone

-- nil, or why the API key ('' is none) may not act for these zones (ids with blanks between).
local function api_key_problem(id, zones)
  if id == '' then return nil end
  local key = redis.call('HMGET', 'api-key:' .. id, 'customer', 'revoked', 'zones')
  if not key[1] or key[2] then return 'the API key has ended' end
  if not key[3] then return nil end
  for zone in string.gmatch(zones, '%S+') do
    if not string.find(' ' .. key[3] .. ' ', ' ' .. zone .. ' ', 1, true) then
      return 'a zone is not one of the API key\'s'
    end
  end
  return nil
end

-- nil, or why nothing may be done by a proof in this zone. That it has moved is no reason where a DNS check comes before
-- the act: a good one makes the zone active again.
local function zone_problem(zone, id, customer, must_be_active)
  if not zone.status or zone.status == 'deleted' then return 'zone ' .. (zone.name or id) .. ' is not here any more' end
  if customer ~= '' and zone.customer ~= customer then return 'zone ' .. zone.name .. ' is not the customer\'s' end
  if zone.status == 'paused' then return 'zone ' .. zone.name .. ' is paused' end
  if must_be_active and zone.status ~= 'active' then return 'zone ' .. zone.name .. ' is not active' end
  return nil
end

-- nil, or why the customer ('' for an account without one) may not act for these names (an array) by their proofs in
-- these zones (ids with blanks between), which were made at that time (seconds). Without a customer it must be active zones:
-- an account has no zone that its check could make active. A name belongs to the longest active zone that holds it: where
-- that is somebody else's, or has been since the proof, the proof has ended, whether it lies at the proven zone's name or
-- between that and the name. Where somebody else's is active: its id, too.
local function names_problem(names, zones, customer, proven_at, must_be_active)
  local proven = {}
  for id in string.gmatch(zones, '%S+') do
    local found = redis.call('HMGET', 'zone:' .. id, 'status', 'customer', 'name')
    local zone = {id = id, status = found[1], customer = found[2], name = found[3]}
    local problem = zone_problem(zone, id, customer, must_be_active or customer == '')
    if problem then return problem end
    proven[zone.name] = zone
  end
  local active, held = {}, {}
  local function was_taken(at, zone)
    held[at] = held[at] or held_by_others(at, zone.customer)
    return held[at] > proven_at
  end
  local function is_taken(at, zone)
    if active[at] == nil then
      local id = redis.call('HGET', 'zone-name:' .. at, 'active')
      active[at] = id and {id = id, customer = redis.call('HGET', 'zone:' .. id, 'customer')} or false
    end
    local holder = active[at]
    return holder and holder.id ~= zone.id and (customer == '' or holder.customer ~= zone.customer) and holder.id
  end
  for _, name in ipairs(names) do
    local base = string.match(name, '^%*%.(.+)$') or name
    local top = base
    while top and not proven[top] do top = string.match(top, '%.(.+)$') end
    if not top then return name .. ' is in none of the zones that it was proven in' end
    local at = base
    while at do
      local taker = is_taken(at, proven[top])
      if taker then
        return name .. ' belongs to another customer\'s active zone ' .. at .. ' now; if that is delegated to your name ' ..
          'servers, order again in a minute', taker
      end
      if was_taken(at, proven[top]) then
        return name .. ' was another customer\'s since that was proven: order it again'
      end
      at = at ~= top and string.match(at, '%.(.+)$') or nil
    end
  end
  return nil
end

-- nil, or why nothing may be issued for the customer now ('' for an account without one).
local function customer_problem(id)
  if id ~= '' and redis.call('HGET', 'customer:' .. id, 'suspended') then
    return 'issuing is stopped for this customer; ask your provider'
  end
  return nil
end

-- nil, or why the order's DNS check tells no more: since it began, or in the same second where the zone has been active before, a
-- zone of the order was checked, and that check did not hold.
local function outdated_problem(order)
  for id in string.gmatch(order.zones or '', '%S+') do
    local zone = redis.call('HMGET', 'zone:' .. id, 'status', 'checked', 'negatives', 'name')
    local holds = zone[1] == 'active' and tonumber(zone[3] or '0') == 0
    local checked, of_order = tonumber(zone[2] or '0'), tonumber(order.checked or '0')
    if not holds and (checked > of_order or (checked == of_order and zone[1] ~= 'pending')) then
      return 'a newer check of ' .. (zone[4] or id) .. ' than that of the order did not hold; look at its delegation and order again'
    end
  end
  return nil
end

-- nil, or why DNS has to be asked again whatever the order's check said: it is from before Redis went back. What an account without
-- customer has proven is its own, whoever has the zone, and counts in that very zone alone.
local function lost_check_problem(order)
  local is_lost = (order.customer or '') ~= '' and tonumber(order.checked or '0') < checks_not_before()
  return is_lost and 'the service was interrupted after the DNS check of the order; try again' or nil
end

local function names_of_order(order)
  local names = {}
  for i = 0, tonumber(order.count) - 1 do names[i + 1] = string.match(order[tostring(i)], '^%S+') end
  return names
end

-- nil, or why nothing may be issued for the order now; and as names_problem.
local function order_problem(order)
  local customer, zones = order.customer or '', order.zones or ''
  local problem = account_problem(order.account or '', customer) or customer_problem(customer) or
    api_key_problem(order.key or '', zones)
  if problem then return problem end
  return names_problem(names_of_order(order), zones, customer, tonumber(order.checked) or math.huge)
end
