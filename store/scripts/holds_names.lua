-- Does the account hold, for each name, a valid authorization from the zone that has the name now (lib/rights.lua)? No DNS
-- check comes before what is done with it, so the zone must be active.
-- keys: account:<id>, account-names:<id>, zone:<id>, zone-name:<suffix>
-- arguments: account, name ...
-- result: ok, 1 or 0
-- uses: common, rights
local id, now = ARGV[1], now_parts()
if account_problem(id) then return {'ok', 0} end
local customer = redis.call('HGET', 'account:' .. id, 'customer') or ''
local function is_held(name)
  local at = string.match(name, '^%*%.(.+)$') or name
  while at do
    local zone = redis.call('HGET', 'zone-name:' .. at, customer ~= '' and customer or 'active')
    local ends = zone and redis.call('ZSCORE', 'account-names:' .. id, name .. ' ' .. zone)
    if ends and tonumber(ends) > now and not names_problem({name}, zone, customer, true) then return true end
    at = string.match(at, '%.(.+)$')
  end
  return false
end
for i = 2, #ARGV do
  if not is_held(ARGV[i]) then return {'ok', 0} end
end
return {'ok', 1}
