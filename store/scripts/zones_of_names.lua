-- For each name the zone that is its longest suffix: the customer's, or without customer an active one of anybody. Where
-- issuance is stopped for one of them, for the customer or for the issuers, that is said instead: nothing is asked of DNS then.
-- keys: ledger-stops, customer:<id>, zone-name:<suffix>, zone:<id>, name-sets:<name>
-- arguments: customer or '', issuers that a certificate would come from (blanks between), then for each name the number of its suffixes and these, longest first
-- result: stopped | ok, {number of the zone in the list that follows, or 0, for each name}, {id, fields} ...
-- uses: common, zone, delegation, stop
local holder = ARGV[1] ~= '' and ARGV[1] or 'active'
-- The zone that would be active if it were not paused.
local function paused_zone(suffix)
  local held = redis.call('HGETALL', 'zone-name:' .. suffix)
  for k = 2, #held, 2 do
    local zone = redis.call('HMGET', 'zone:' .. held[k], 'status', 'resumes')
    if zone[1] == 'paused' and zone[2] == 'active' then return held[k] end
  end
  return false
end

local FIELDS = {'name', 'customer', 'status', 'servers', 'created', 'activated', 'checked', 'negatives', 'reason'}
local numbers, seen, reply, cache = {}, {}, {'ok', false}, {}
local found_zones = {}
local i = 3
while i <= #ARGV do
  local last = i + tonumber(ARGV[i])
  local id = false
  for j = i + 1, last do
    local suffix = ARGV[j]
    if cache[suffix] == nil then cache[suffix] = redis.call('HGET', 'zone-name:' .. suffix, holder) end
    id = cache[suffix]
    if not id and holder == 'active' then id = paused_zone(suffix) end
    if id then break end
  end
  if id and not seen[id] then
    local flat, values = {}, redis.call('HMGET', 'zone:' .. id, unpack(FIELDS))
    for k, value in ipairs(values) do
      if value then
        flat[#flat + 1] = FIELDS[k]
        flat[#flat + 1] = value
      end
    end
    add_rivals(flat, values[1] or '', values[2], values[3], values[4], redis.call('HGET', 'zone:' .. id, 'blind'))
    reply[#reply + 1] = {id, add_others_zones(flat, values[1] or '', values[2])}
    seen[id] = #reply - 2
    found_zones[#found_zones + 1] = id
  end
  numbers[#numbers + 1] = id and seen[id] or 0
  i = last + 1
end
local stop = stop_of(ARGV[1], table.concat(found_zones, ' '), ARGV[2])
if stop then return stop end
reply[2] = numbers
return reply
