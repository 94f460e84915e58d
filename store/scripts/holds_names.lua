-- For each name the zone by whose valid authorization the account holds it now (lib/rights.lua). Who acts by that without an order
-- asks DNS about these zones first, so they must be active.
-- keys: account:<id>, account-names:<id>, account-proofs:<id>, zone:<id>, zone-name:<suffix>, zone-held:<suffix>, name-sets:<name>
-- arguments: account, seconds that a proof counts of an account without customer (no zone is its own, so DNS does not tell later whether
--   it still owns the name), then for each name the number of its suffixes, these, longest first, and the name
-- result: ok, {number of the zone in the list that follows, or 0, for each name}, {id, fields} ...
-- uses: common, rights, delegation
local id, now = ARGV[1], now_parts()
local customer = redis.call('HGET', 'account:' .. id, 'customer') or ''
local is_bad = account_problem(id)
local function zone_of_proof(name, first, last)
  for j = first, last do
    local zone = redis.call('HGET', 'zone-name:' .. ARGV[j], customer ~= '' and customer or 'active')
    local held = name .. ' ' .. (zone or '')
    local ends = zone and redis.call('ZSCORE', 'account-names:' .. id, held)
    if ends and tonumber(ends) > now then
      local proven = tonumber(redis.call('HGET', 'account-proofs:' .. id, held) or '0')
      local is_too_old = customer == '' and now - proven > tonumber(ARGV[2])
      if not is_too_old and not names_problem({name}, zone, customer, proven, true) then return zone end
    end
  end
  return nil
end

local numbers, seen, reply = {}, {}, {'ok', false}
local i = 3
while i <= #ARGV do
  local last = i + tonumber(ARGV[i])
  local zone = not is_bad and zone_of_proof(ARGV[last + 1], i + 1, last) or nil
  if zone and not seen[zone] then
    local found, flat = load_hash('zone:' .. zone)
    reply[#reply + 1] = {zone, add_others_zones(flat, found.name, found.customer)}
    seen[zone] = #reply - 2
  end
  numbers[#numbers + 1] = zone and seen[zone] or 0
  i = last + 2
end
reply[2] = numbers
return reply
