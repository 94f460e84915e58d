-- What is stopped, since when and by whom: everything and issuers, also those allowed again, then up to `limit` customers and zones each.
-- keys: ledger-stops, customers-suspended, customer:<id>, zones:paused, zone:<id>
-- arguments: limit
-- result: ok, number of stopped customers, of paused zones, {of, id, name, since (ms), by, 1 or 0: stopped} ...
local last = tonumber(ARGV[1]) - 1
local reply = {'ok', redis.call('ZCARD', 'customers-suspended'), redis.call('ZCARD', 'zones:paused')}
local issuers = redis.call('HGETALL', 'ledger-stops')
for i = 1, #issuers, 2 do
  local since, is_stopped, by = string.match(issuers[i + 1], '^(%d+) ([01]) (.*)$')
  local name = issuers[i] == '*' and '' or issuers[i]
  -- the global one first, whichever was recorded first
  table.insert(reply, name == '' and 4 or #reply + 1, {name == '' and 'global' or 'issuer', name, name, since, by, is_stopped})
end
local function add(of, index, prefix, since, by)
  if last < 0 then return end
  for _, id in ipairs(redis.call('ZRANGE', index, 0, last)) do
    local found = redis.call('HMGET', prefix .. id, 'name', since, by)
    reply[#reply + 1] = {of, id, found[1] or '', found[2] and found[2] .. '000' or '0', found[3] or '', '1'}
  end
end
add('customer', 'customers-suspended', 'customer:', 'suspended', 'suspended_by')
add('zone', 'zones:paused', 'zone:', 'paused', 'paused_by')
return reply
