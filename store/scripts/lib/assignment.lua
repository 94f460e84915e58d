-- The search for a set of name servers for a zone.

-- The first `count` of the pool, in its order of preference, that hold none of the lists `within` entirely and do not lie
-- within one of `around`; nil where there are none.
local SEARCH_STEPS = 200000
local function find_set(pool, count, within, around)
  local lists_with, chosen, set, steps = {}, {}, {}, 0
  for _, list in ipairs(within) do
    for _, server in ipairs(list) do
      lists_with[server] = lists_with[server] or {}
      table.insert(lists_with[server], list)
    end
  end
  local function completes_a_list(server)
    for _, list in ipairs(lists_with[server] or {}) do
      steps = steps + 1
      local missing = false
      for _, other in ipairs(list) do missing = missing or not chosen[other] end
      if not missing then return true end
    end
    return false
  end
  local function lies_around()
    for _, list in ipairs(around) do
      if is_within(set, list) then return true end
    end
    return false
  end
  local function extend(from)
    if #set == count then return not lies_around() end
    for i = from, #pool - (count - #set) + 1 do
      steps = steps + 1
      if steps > SEARCH_STEPS then return false end
      chosen[pool[i]] = true
      set[#set + 1] = pool[i]
      if not completes_a_list(pool[i]) and extend(i + 1) then return true end
      chosen[pool[i]] = nil
      set[#set] = nil
    end
    return false
  end
  if not extend(1) then return nil end
  table.sort(set)
  return set
end

-- What a new zone of this customer must not be assigned: {within = lists, around = lists}, and what it should not: `told`.
-- A delegation that names some of a zone's servers proves the zone, so sets that hold one another are no two sets.
local function taken_sets(name, customer, sets)
  local taken, told = {within = {}, around = {}}, {}
  for _, zone in ipairs(zones_of(name)) do
    if zone.customer ~= customer and #zone.servers > 0 then
      table.insert(taken.within, zone.servers)
      table.insert(taken.around, zone.servers)
    end
  end
  for _, entry in pairs(sets) do
    if entry.holder ~= customer then table.insert(entry.seen > 0 and taken.within or told, entry.servers) end
  end
  return taken, told
end

-- Lists of servers that a new zone of this name must not have all of: those of a zone that another customer has shown to be
-- his which no other zone of the name has, and those of them without each zone below that was active. One of each has to stay
-- so: where all are shared, or the rest have the zone below as well, nothing that they say of it counts (contested_servers),
-- and strangers could have its owner refused by adding the name.
local function unshared_servers(name, customer)
  local zones, held, lists = zones_of(name), {}, {}
  for _, zone in ipairs(zones) do
    if zone.is_held and zone.customer ~= customer then held[#held + 1] = zone end
  end
  if #held == 0 then return lists end
  for _, left in ipairs(left_zones(name, zones)) do zones[#zones + 1] = left end
  local contested = contested_servers(name, zones)
  for _, zone in ipairs(held) do
    local found = {}
    local function keep_one(but)
      local list = {}
      for _, server in ipairs(zone.servers) do
        if not contested[server] and not but[server] then list[#list + 1] = server end
      end
      if #list > 0 then found[table.concat(list, ' ')] = list end
    end
    keep_one({})
    visit_foreign_zones_below(name, zone.customer, function(servers, was_active)
      local of_zone = {}
      for server in string.gmatch(was_active and servers or '', '%S+') do of_zone[server] = true end
      keep_one(of_zone)
    end)
    for _, list in pairs(found) do lists[#lists + 1] = list end
  end
  return lists
end

-- The same of each zone above that another customer has shown to be his: where every one of its servers has a stranger's zone of
-- this name, nothing that they say of the name counts, and its owner would be refused what he has not delegated away.
local function unshared_servers_above(name, customer)
  local zones, lists = zones_of(name), {}
  for _, left in ipairs(left_zones(name, zones)) do zones[#zones + 1] = left end
  for _, above in ipairs(names_above(name)) do
    for _, zone in ipairs(zones_of(above)) do
      if zone.is_held and zone.customer ~= customer then
        local taken, list = {}, {}
        for _, other in ipairs(zones) do
          if other.customer ~= zone.customer then
            for _, server in ipairs(other.servers) do taken[server] = true end
          end
        end
        for _, server in ipairs(zone.servers) do
          if not taken[server] then list[#list + 1] = server end
        end
        if #list > 0 then lists[#lists + 1] = list end
      end
    end
  end
  return lists
end

local function joined(a, b)
  local list = {unpack(a)}
  for _, item in ipairs(b) do list[#list + 1] = item end
  return list
end

-- The set that this customer had when the name was last seen delegated to it.
local function former_set(pool, customer, sets, within, around)
  local latest
  for _, entry in pairs(sets) do
    local is_his = entry.holder == customer and entry.seen > 0 and is_within(entry.set, pool)
    if is_his and (not latest or entry.seen > latest.seen) and
       find_set(entry.set, #entry.set, within, around) then
      latest = entry
    end
  end
  return latest and latest.set
end

local function without(pool, servers)
  local list = {}
  for _, server in ipairs(pool) do
    if not servers[server] then list[#list + 1] = server end
  end
  return list
end

-- How large the pool would have to be: new servers are nobody's.
local function pool_needed(pool, count, within, around)
  local larger = {unpack(pool)}
  for i = 1, count do
    table.insert(larger, 1, '?' .. i)
    if find_set(larger, count, within, around) then break end
  end
  return #larger
end
