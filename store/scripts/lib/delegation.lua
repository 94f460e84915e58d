-- Which name servers are not to be assigned for a name, because a delegation may still point at them.
-- uses: zone, zones_below
--
-- name-sets:<name> holds what the name was seen delegated to while it was somebody's: servers (sorted, blanks between) ->
-- "holder since seen away set ...". Whoever is assigned a set that contains all of these servers would be proven by that
-- delegation, so nobody but the holder ('-': nobody at all) is. `seen` is when the delegation was last seen to point there; 0
-- is a set that was only told to its holder: it is passed over while there is another. `away` is since when it has been seen
-- elsewhere each time. `set` is what the holder was assigned.
local function words(text)
  local list = {}
  for word in string.gmatch(text, '%S+') do list[#list + 1] = word end
  table.sort(list)
  return list
end

local function is_within(list, set)
  local has = {}
  for _, server in ipairs(set) do has[server] = true end
  for _, server in ipairs(list) do
    if not has[server] then return false end
  end
  return true
end

local function among(list, set)
  local found = {}
  for _, server in ipairs(list) do
    if is_within({server}, set) then found[#found + 1] = server end
  end
  return found
end

local function overlaps(list, set)
  for _, server in ipairs(list) do
    if is_within({server}, set) then return true end
  end
  return false
end

local function sorted_keys(set)
  local list = {}
  for key in pairs(set) do list[#list + 1] = key end
  table.sort(list)
  return list
end

local function load_sets(name)
  local sets = {}
  local flat = redis.call('HGETALL', 'name-sets:' .. name)
  for i = 1, #flat, 2 do
    local holder, since, seen, away, set = string.match(flat[i + 1], '^(%S+) (%d+) (%d+) (%d+) (.+)$')
    sets[flat[i]] = {servers = words(flat[i]), holder = holder, since = tonumber(since), seen = tonumber(seen),
                     away = tonumber(away), set = words(set)}
  end
  return sets
end

local function save_set(name, key, entry)
  redis.call('HSET', 'name-sets:' .. name, key, string.format('%s %d %d %d %s', entry.holder, entry.since, entry.seen,
             entry.away, table.concat(entry.set, ' ')))
end

-- The zones that customers have of this name. `is_held`: active, or paused only.
local function zones_of(name)
  local zones = {}
  for customer, id in pairs(load_hash('zone-name:' .. name) or {}) do
    if customer ~= 'active' then
      local zone = redis.call('HMGET', 'zone:' .. id, 'servers', 'blind', 'status', 'resumes')
      zones[#zones + 1] = {customer = customer, servers = words(zone[1] or ''), holder = zone[2] and '-' or customer,
                           is_active = zone[3] == 'active',
                           is_held = zone[3] == 'active' or (zone[3] == 'paused' and zone[4] == 'active')}
    end
  end
  return zones
end

-- Name servers may go on serving a zone that was taken out: until when, by whom, and on which servers is in
-- zones-left:<name>, by the zone's id; zones that were never active are one for each set of servers (of several holders '*'),
-- so that adding and deleting a name over and over does not fill it.
local function leave_zone(id, zone, ends)
  local key, now = 'zones-left:' .. zone.name, (now_parts())
  local field, holder = id, zone.blind and '-' or zone.customer
  for each, text in pairs(load_hash(key) or {}) do
    if tonumber(string.match(text, '^%d+')) <= now then redis.call('HDEL', key, each) end
  end
  if not zone.activated then
    field = 'told ' .. table.concat(words(zone.servers), ',')
    local before = string.match(redis.call('HGET', key, field) or '', '^%d+ (%S+)')
    if before == '-' or (before and before ~= holder and holder ~= '-') then holder = before == '-' and '-' or '*' end
  end
  redis.call('HSET', key, field, string.format('%d %s %s', ends, holder, zone.servers))
  redis.call('EXPIREAT', key, ends + 60)
end

-- Those, but for one whose holder has the name again with the same servers.
local function left_zones(name, zones)
  local now, left = now_parts(), {}
  for _, text in pairs(load_hash('zones-left:' .. name) or {}) do
    local ends, holder, servers = string.match(text, '^(%d+) (%S+) (.+)$')
    local zone = {customer = holder, holder = holder, servers = words(servers), has_left = true}
    local is_over = tonumber(ends) <= now
    for _, current in ipairs(zones) do
      is_over = is_over or (current.customer == holder and is_within(zone.servers, current.servers))
    end
    if not is_over then left[#left + 1] = zone end
  end
  return left
end

-- Whose the delegation shows the name to be: the zone that has all of its servers. Of several (it names so few servers that
-- it fits them all) the active one.
local function zone_shown_by(delegation, zones)
  local shown, count = nil, 0
  for _, zone in ipairs(zones) do
    if #delegation > 0 and is_within(delegation, zone.servers) then
      count = count + 1
      if not shown or zone.is_active then shown = zone end
    end
  end
  if count > 1 and not shown.is_active then return {holder = '-', servers = shown.servers} end
  return shown
end

-- Appends to a zone's fields what of its servers somebody else may have been told to delegate to: a delegation to no more
-- than one of these (servers with commas between) does not show whose it is. An active zone has shown it. `blind`: DNS could
-- not be asked for the delegation before the servers were assigned, nor since for one that does not name them alone.
local function add_rivals(flat, name, customer, status, servers, blind)
  if status == 'active' then return flat end
  local own, rivals = words(servers or ''), {}
  local function add(list)
    local shared = {}
    for _, server in ipairs(own) do
      if is_within({server}, list) then shared[#shared + 1] = server end
    end
    if #shared > 0 then rivals[table.concat(shared, ',')] = true end
  end
  if blind then add(own) end
  for _, zone in ipairs(zones_of(name)) do
    if zone.customer ~= customer then add(zone.servers) end
  end
  for _, entry in pairs(load_sets(name)) do
    if entry.holder ~= customer and entry.seen > 0 then add(entry.servers) end
  end
  if next(rivals) then
    flat[#flat + 1] = 'rivals'
    flat[#flat + 1] = table.concat(sorted_keys(rivals), ' ')
  end
  return flat
end

-- Which of the servers of zones of one name serve a zone that nobody can tell, as a set: those that several zones have, and
-- those of one that is not active where the name may be delegated to them for somebody else.
local function contested_servers(name, zones)
  local contested, holders, sets = {}, {}, nil
  for _, zone in ipairs(zones) do
    for _, server in ipairs(zone.servers) do
      holders[server] = (holders[server] or 0) + 1
      contested[server] = contested[server] or holders[server] > 1 or (not zone.is_active and zone.holder == '-') or nil
    end
  end
  for _, zone in ipairs(zones) do
    sets = sets or (not zone.is_active and load_sets(name)) or nil
    for _, entry in pairs(not zone.is_active and sets or {}) do
      for _, server in ipairs(entry.holder ~= zone.customer and entry.seen > 0 and entry.servers or {}) do
        contested[server] = contested[server] or is_within({server}, zone.servers) or nil
      end
    end
  end
  return contested
end

local function is_free_of(list, set)
  for _, server in ipairs(list) do
    if set[server] then return false end
  end
  return true
end

-- What a check may believe of the servers of a zone above, "name=OWN!CONTESTED|SET|SET", each a list of servers with commas
-- between. OWN: the customer has that zone, and a delegation to these is his. CONTESTED: nobody can tell whose zone these
-- serve. SET: what one of the others was assigned; each serves his zone, which is what the name is delegated to only if it
-- is delegated to no others. Zones count that were taken out lately. nil where there are none.
local function describe_above(name, customer)
  local zones, own, sets = zones_of(name), nil, {}
  for _, left in ipairs(left_zones(name, zones)) do zones[#zones + 1] = left end
  if #zones == 0 then return nil end
  local contested = contested_servers(name, zones)
  for _, zone in ipairs(zones) do
    local is_his = zone.customer == customer and not zone.has_left and (zone.is_active or is_free_of(zone.servers, contested))
    if is_his then own = table.concat(zone.servers, ',') end
  end
  for _, zone in ipairs(zones) do
    local has_one_alone = false
    for _, server in ipairs(zone.servers) do has_one_alone = has_one_alone or not contested[server] end
    if has_one_alone and not (own == table.concat(zone.servers, ',')) then sets['|' .. table.concat(zone.servers, ',')] = true end
  end
  local list = table.concat(sorted_keys(contested), ',')
  return name .. '=' .. (own or '') .. (list ~= '' and '!' .. list or '') .. table.concat(sorted_keys(sets))
end

-- Has somebody else the name as his active zone or, where nobody has, had it lately? Of an active zone: was the name seen delegated
-- to somebody else's servers since it became active? Then its servers do not agree, or did not: by one server's word the zone is
-- neither kept, while the others refer to its new owner, nor lost. `is_checked`: the check is of that very name; who comes to have it
-- has those below it too that he does not delegate away, over their holders' heads.
local ANOTHERS_SECONDS = 30 * 86400
local function is_anothers(name, customer, is_checked)
  local active, since = redis.call('HGET', 'zone-name:' .. name, 'active'), now_parts() - ANOTHERS_SECONDS
  if not active then return held_by_others(name, customer) > since or (is_checked and has_held_below(name, customer)) end
  local zone = redis.call('HMGET', 'zone:' .. active, 'customer', 'activated')
  if zone[1] ~= customer then return true end
  since = math.max(since, tonumber(zone[2] or '0'))
  for _, set in pairs(load_sets(name)) do
    if set.holder ~= customer and set.holder ~= '-' and set.seen > since then return true end
  end
  return false
end

-- Appends `anothers` to a zone's fields, the closest name, its own or above, that is. What leads there takes it from him, or
-- keeps it from coming back to him: every server on the way must say so, for one that lags behind shows the former delegation.
local function add_anothers(flat, name, customer)
  local names = names_above(name)
  table.insert(names, 1, name)
  for _, each in ipairs(names) do
    if is_anothers(each, customer, each == name) then
      flat[#flat + 1] = 'anothers'
      flat[#flat + 1] = each
      return flat
    end
  end
  return flat
end

-- Appends to a zone's fields the zones above, whoever has them, closest first, with blanks between.
local function add_zones_above(flat, name, customer)
  local list = {}
  for _, above in ipairs(names_above(name)) do list[#list + 1] = describe_above(above, customer) end
  if #list > 0 then
    flat[#flat + 1] = 'zones_above'
    flat[#flat + 1] = table.concat(list, ' ')
  end
  return flat
end

-- What the check of a customer's zone is to know of others'.
local function add_others_zones(flat, name, customer)
  return add_zones_above(add_anothers(flat, name, customer), name, customer)
end

-- Writes down what was seen of the delegation (nil: DNS could not be asked, which proves nothing), and gives up what has
-- been elsewhere for `release` seconds, was told but not seen a look later, or is older than `hold`.
local function note_delegation(name, delegation, now, hold, release, look)
  local sets, zones = load_sets(name), zones_of(name)
  local shown = delegation and zone_shown_by(delegation, zones)
  local function see(key, holder, set)
    local since = sets[key] and sets[key].since or now
    sets[key] = {servers = words(key), holder = holder, since = since, seen = now, away = 0, set = set}
  end
  local holders = {}
  if shown then
    local key = table.concat(delegation, ' ')
    -- One that nobody looked at before it was assigned is no proof that it is not the former holder's.
    local holder = shown.holder == '-' and sets[key] and sets[key].holder or shown.holder
    see(key, holder, shown.servers)
    holders[holder] = true
  end
  for _, entry in pairs(sets) do
    if delegation and #delegation > 0 and entry.seen > 0 and is_within(delegation, entry.servers) then
      holders[entry.holder] = true
    end
  end
  local is_explained = next(holders) ~= nil
  for key, entry in pairs(sets) do
    local points = delegation and overlaps(delegation, entry.servers) and
      (not is_explained or holders[entry.holder] or is_within(delegation, entry.servers))
    if points then
      -- What was only told counts as seen when it is all that the name is delegated to.
      if entry.seen > 0 or is_within(delegation, entry.servers) then entry.seen = now end
      entry.away = 0
    elseif delegation then
      entry.away = entry.away > 0 and entry.away or now
    end
    local is_away = delegation and not points
    local is_over = is_away and now - entry.away >= release
    if entry.seen == 0 then is_over = is_away and now - entry.since >= look / 2 end
    if is_over or now - math.max(entry.since, entry.seen) >= hold then
      redis.call('HDEL', 'name-sets:' .. name, key)
    else
      save_set(name, key, entry)
    end
  end
end

-- A zone goes: its delegation may stay. Whether it points there now is looked up at once.
local TOLD_MAX = 200
local function keep_set(zone, now)
  local sets, key = load_sets(zone.name), table.concat(words(zone.servers), ' ')
  local told, oldest, is_known = 0, nil, sets[key] ~= nil
  for servers, entry in pairs(sets) do
    is_known = is_known or (entry.holder == zone.customer and table.concat(entry.set, ' ') == key)
    if entry.seen == 0 then
      told = told + 1
      if not oldest or entry.since < sets[oldest].since then oldest = servers end
    end
  end
  if told >= TOLD_MAX then redis.call('HDEL', 'name-sets:' .. zone.name, oldest) end
  if not is_known then
    save_set(zone.name, key, {holder = zone.blind and '-' or zone.customer, since = now, away = 0, set = words(key),
                              seen = zone.activated and now or 0})
  elseif sets[key] and sets[key].seen == 0 then
    sets[key].since = now
    save_set(zone.name, key, sets[key])
  end
  redis.call('ZADD', 'names-due', now, zone.name)
end
