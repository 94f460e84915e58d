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

-- An active zone stops being it: what others proved for the name before that (`ends`, seconds) is worth nothing from then on, and
-- does not come back with the next change either (lib/rights.lua). zone-held:<name> has it for each customer; no proof lives
-- as long.
local HELD_KEPT = 400 * 86400
local function note_held(zone, ends)
  local key = 'zone-held:' .. zone.name
  if tonumber(redis.call('HGET', key, zone.customer) or '0') < ends then redis.call('HSET', key, zone.customer, ends) end
  redis.call('EXPIRE', key, HELD_KEPT)
end

-- Until when somebody but this customer had the name last; 0 is never.
local function held_by_others(name, customer)
  local last, held = 0, redis.call('HGETALL', 'zone-held:' .. name)
  for i = 1, #held, 2 do
    if held[i] ~= customer then last = math.max(last, tonumber(held[i + 1])) end
  end
  return last
end

-- DNS checks that began before this second (0: none has ended so) say nothing: Redis has gone back since, or may have, and whose the
-- name became after them may be forgotten.
local function checks_not_before()
  return tonumber(redis.call('GET', 'ledger-checks-since') or '0')
end

-- Something speaks against an active zone: it is checked soon, and the first definite no moves it away.
local DOUBT_PAUSE = 30 -- seconds between two checks
local function doubt_zone(id, now)
  local checked = tonumber(redis.call('HGET', 'zone:' .. id, 'checked') or '0')
  redis.call('HSET', 'zone:' .. id, 'doubted', 1)
  redis.call('ZADD', 'zones-due', 'LT', math.max(now, checked + DOUBT_PAUSE), id)
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
