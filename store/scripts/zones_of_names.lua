-- For each name the zone that is its longest suffix: the customer's, or without customer an active one of anybody.
-- keys: zone-name:<suffix>, zone:<id>, name-sets:<name>
-- arguments: customer or '', then for each name the number of its suffixes and these, longest first
-- result: ok, {number of the zone in the list that follows, or 0, for each name}, {id, fields} ...
-- uses: common, zone, delegation
local holder = ARGV[1] ~= '' and ARGV[1] or 'active'
local FIELDS = {'name', 'customer', 'status', 'servers', 'created', 'activated', 'checked', 'negatives', 'reason'}
local numbers, seen, reply, cache = {}, {}, {'ok', false}, {}
local i = 2
while i <= #ARGV do
  local last = i + tonumber(ARGV[i])
  local id = false
  for j = i + 1, last do
    local suffix = ARGV[j]
    if cache[suffix] == nil then cache[suffix] = redis.call('HGET', 'zone-name:' .. suffix, holder) end
    id = cache[suffix]
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
    reply[#reply + 1] = {id, add_zones_above(flat, values[1] or '', values[2])}
    seen[id] = #reply - 2
  end
  numbers[#numbers + 1] = id and seen[id] or 0
  i = last + 1
end
reply[2] = numbers
return reply
