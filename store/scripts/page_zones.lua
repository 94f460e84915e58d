-- A numbered page of a customer's zones, newest first. Looks at the newest 10,000.
-- keys: customer-zones:<customer>, zone:<id>
-- arguments: customer, name or '', status or '' (active, pending, moved; a paused zone counts by what it was), zone ids it
--   is limited to (blanks between) or '', offset, limit
-- result: ok, total, {id, fields} ...
-- uses: common
local customer, name, status, allowed, offset, limit = unpack(ARGV, 1, 6)
offset, limit = tonumber(offset), tonumber(limit)
local reply, total = {'ok', 0}, 0
for _, id in ipairs(redis.call('ZRANGE', 'customer-zones:' .. customer, 0, 9999, 'REV')) do
  local zone = redis.call('HMGET', 'zone:' .. id, 'name', 'status', 'resumes')
  local is_now = zone[2] == 'paused' and (zone[3] or 'pending') or zone[2]
  local is_wanted = zone[1] and zone[2] ~= 'deleted' and (name == '' or zone[1] == name) and
    (status == '' or is_now == status) and (allowed == '' or string.find(' ' .. allowed .. ' ', ' ' .. id .. ' ', 1, true))
  if is_wanted then
    total = total + 1
    if total > offset and total <= offset + limit then
      local _, flat = load_hash('zone:' .. id)
      reply[#reply + 1] = {id, flat}
    end
  end
end
reply[2] = total
return reply
