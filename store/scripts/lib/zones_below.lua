-- The zones below a name: zones-by-name holds "test.shop.www. CUSTOMER ID" for www.shop.test, so that what lies below a
-- name stands together.
-- uses: zone
local ZONES_BELOW_A_PAGE, ZONES_BELOW_PAGES = 500, 20 -- how many are looked at: a top-level domain has all zones below it

local function from_the_top(name)
  local labels = {}
  for label in string.gmatch(name, '[^.]+') do table.insert(labels, 1, label) end
  return table.concat(labels, '.')
end

local function name_entry(id, name, customer)
  return from_the_top(name) .. '. ' .. customer .. ' ' .. id
end

local function index_zone_name(id, name, customer)
  redis.call('ZADD', 'zones-by-name', 0, name_entry(id, name, customer))
end

local function forget_zone_name(id, name, customer)
  redis.call('ZREM', 'zones-by-name', name_entry(id, name, customer))
end

-- Visits other customers' zones below the name: their name servers (blanks between), and whether they were active once.
local function visit_foreign_zones_below(name, customer, visit)
  -- A blank comes before, and '/' after, whatever begins a label.
  local from, to = '[' .. from_the_top(name) .. '.!', '(' .. from_the_top(name) .. '/'
  for _ = 1, ZONES_BELOW_PAGES do
    local page = redis.call('ZRANGE', 'zones-by-name', from, to, 'BYLEX', 'LIMIT', 0, ZONES_BELOW_A_PAGE)
    for _, entry in ipairs(page) do
      local holder, id = string.match(entry, ' (%S+) (%S+)$')
      local zone = holder ~= customer and redis.call('HMGET', 'zone:' .. id, 'servers', 'activated') or {}
      if zone[1] then visit(zone[1], zone[2] and true or false) end
    end
    if #page < ZONES_BELOW_A_PAGE then break end
    from = '(' .. page[#page]
  end
end

-- The name servers of other customers' zones below the name: {of any of them}, {of those that were active}.
local function foreign_servers_below(name, customer)
  local of_anybody, of_owners = {}, {}
  visit_foreign_zones_below(name, customer, function(servers, was_active)
    for server in string.gmatch(servers, '%S+') do
      of_anybody[server] = true
      if was_active then of_owners[server] = true end
    end
  end)
  return of_anybody, of_owners
end

-- Has another customer a zone below that is active, or paused only? Of very many the first few tell.
local HELD_BELOW_LOOKED_AT = 200
local function has_held_below(name, customer)
  local from, to = '[' .. from_the_top(name) .. '.!', '(' .. from_the_top(name) .. '/'
  local page = redis.call('ZRANGE', 'zones-by-name', from, to, 'BYLEX', 'LIMIT', 0, HELD_BELOW_LOOKED_AT)
  for _, entry in ipairs(page) do
    local holder, id = string.match(entry, ' (%S+) (%S+)$')
    local zone = holder ~= customer and redis.call('HMGET', 'zone:' .. id, 'status', 'resumes') or {}
    if zone[1] == 'active' or (zone[1] == 'paused' and zone[2] == 'active') then return true end
  end
  return #page == HELD_BELOW_LOOKED_AT
end
