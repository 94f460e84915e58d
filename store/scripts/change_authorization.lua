-- Sets one authorization of an order; the order follows: all valid -> ready, one lost -> invalid.
-- keys: order:<id>, evidence:<id>, account:<id>, account-names:<id>, zone:<id>, zone-name:<suffix>, orders:<status>,
--   orders-by-expiry
-- arguments: order, index, status, error, evidence, checked_at, expires_at, count_try, evidence_retention,
--   refused_retention
-- result: ok, id, fields | conflict, message, id, fields | refused | notfound
-- uses: common, account, rights, order
local id, index, to, problem, evidence, checked, ends = unpack(ARGV, 1, 7)
local key = 'order:' .. id
local order, flat = load_hash(key)
if not order or not order[index] then return {'notfound', 'no such authorization'} end
local now = now_parts()
local status, validated, expires, tries = string.match(order[index .. 's'], '^(%S+) (%d+) (%d+) (%d+)$')
local name, zone_index = string.match(order[index], '^(%S+) (%S+)')
local zones = {}
for zone in string.gmatch(order.zones or '', '%S+') do zones[#zones + 1] = zone end
local zone = zones[(tonumber(zone_index) or -1) + 1] or ''
local is_open = order.status == 'pending' and tonumber(order.expires) > now
local function conflict(why) return {'conflict', why, id, flat} end

if order.status == 'refused' then return conflict('the order was refused and never changes') end
if status == to and to ~= 'pending' then return {'ok', id, flat} end
if to == 'deactivated' then
  if status ~= 'valid' and status ~= 'pending' then return conflict('the authorization is ' .. status) end
else
  local account_is_bad = account_problem(order.account or '')
  if account_is_bad then return {'refused', account_is_bad} end
  if status ~= 'pending' then return conflict('the authorization is ' .. status) end
  if not is_open then return conflict('the order is not pending any more') end
end
if to == 'valid' then
  local name_is_bad = names_problem({name}, zone, order.customer or '', tonumber(checked))
  if name_is_bad then return {'refused', name_is_bad} end
  validated, expires = checked, ends
  hold_name(order.account or '', name .. ' ' .. zone, checked, ends, now)
elseif to == 'deactivated' and order.account then
  local held = name .. ' ' .. zone
  -- A newer authorization for the name has a later end, and stays.
  if redis.call('ZSCORE', 'account-names:' .. order.account, held) == expires then forget_name(order.account, held) end
end
if ARGV[8] == '1' then tries = tostring(tonumber(tries) + 1) end
redis.call('HSET', key, index .. 's', to .. ' ' .. validated .. ' ' .. expires .. ' ' .. tries)
if problem ~= '' then redis.call('HSET', key, index .. 'e', problem) end
if evidence ~= '' then
  redis.call('HSET', 'evidence:' .. id, order.count == '1' and 'all' or index, evidence)
  expire_at('evidence:' .. id, tonumber(redis.call('ZSCORE', 'orders-by-expiry', id) or now))
end

-- The order is as fresh as its oldest proof.
local all_valid, oldest = true, checked
for i = 0, tonumber(order.count) - 1 do
  local other, at = string.match(redis.call('HGET', key, i .. 's'), '^(%S+) (%d+)')
  if other ~= 'valid' then all_valid = false break end
  if tonumber(at) < tonumber(oldest) then oldest = at end
end
if order.status == 'pending' and all_valid then
  redis.call('HSET', key, 'checked', oldest)
  move_order(id, order, 'ready', tonumber(order.expires))
elseif (to == 'invalid' or to == 'deactivated') and order.status ~= 'valid' and order.status ~= 'invalid' then
  if problem ~= '' then redis.call('HSET', key, 'error', problem) end
  move_order(id, order, 'invalid', order_end('invalid', tonumber(order.expires), now, 0, tonumber(ARGV[10])))
end
order, flat = load_hash(key)
return {'ok', id, flat}
