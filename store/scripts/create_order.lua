-- Stores a new order with its authorizations and evidence; a repeated call changes nothing.
-- keys: order:<id>, evidence:<id>, orders, orders:<status>, orders-by-expiry, customer-orders:<customer>,
--   customer-refused:<customer>, account-orders:<account>, zone-orders:<zone>, account-names:<account>, certificate:<serial>,
--   retry:<hash>, ledger-stops, customer:<id>, api-key:<id>, zone:<id>, zone-name:<suffix>, zones:<status>, zones-due, edge-events
-- arguments: id, account, customer, status, expires, zones, replaces_serial, evidence, evidence_retention,
--   refused_retention, max_refused, hash of the request or '', seconds it counts, whether certificates of a moved zone
--   leave the edges, issuers that its certificate may come from (blanks between), number of held names, ("name zone", end) ..., then the fields in pairs
-- result: stopped | ok, id (of the order that an earlier request with this hash made, where there is one) | refused (account or zone) | conflict (certificate replaced already)
-- uses: common, account, rights, proof, order, retry, stop
local id, account, customer, status, expires, zones, replaces, evidence = unpack(ARGV, 1, 8)
local key = 'order:' .. id
if redis.call('EXISTS', key) == 1 then return {'ok', id} end
local now, micros = now_parts()
local retry, held = ARGV[12], tonumber(ARGV[16])
local first_field = 17 + 2 * held
local order = {}
for i = first_field, #ARGV, 2 do order[ARGV[i]] = ARGV[i + 1] end
if status ~= 'refused' then
  if status == 'ready' and customer ~= '' then
    note_proof(id, zones, order.checked or '0', now, micros, ARGV[14] == '1')
  end
  local stop = stop_of(customer, zones, ARGV[15])
  if stop then return stop end
  local problem, taker = order_problem(order)
  -- DNS has just shown the names to be this customer's.
  if taker and status == 'ready' and customer ~= '' then doubt_zone(taker, now) end
  problem = problem or (status == 'ready' and outdated_problem(order) or nil)
  if problem then return {'refused', problem} end
  local earlier = retry ~= '' and order_of_retry(retry, now)
  if earlier then return {'ok', earlier} end
  if replaces ~= '' then
    local replaced = redis.call('HMGET', 'certificate:' .. replaces, 'replaced_by', 'replacing', 'status')
    local other = redis.call('HMGET', 'order:' .. (replaced[2] or ''), 'status', 'expires')
    local is_open = other[1] == 'processing' or
      ((other[1] == 'pending' or other[1] == 'ready') and tonumber(other[2]) > now)
    if replaced[1] or (replaced[2] and is_open) then
      return {'conflict', 'the certificate is replaced by another order already'}
    end
    if replaced[3] then redis.call('HSET', 'certificate:' .. replaces, 'replacing', id) end
  end
end
if retry ~= '' and status ~= 'refused' then redis.call('SET', 'retry:' .. retry, id, 'EX', ARGV[13]) end
for i = 17, first_field - 1, 2 do hold_name(account, ARGV[i], order.checked or '0', ARGV[i + 1], now) end
set_fields(key, ARGV, first_field)
if evidence ~= '' then redis.call('HSET', 'evidence:' .. id, 'all', evidence) end
redis.call('ZADD', 'orders', micros, id)
redis.call('ZADD', 'orders:' .. status, micros, id)
if customer ~= '' then redis.call('ZADD', 'customer-orders:' .. customer, micros, id) end
for zone in string.gmatch(zones, '%S+') do redis.call('ZADD', 'zone-orders:' .. zone, micros, id) end
keep_order(id, order_end(status, tonumber(expires), now, tonumber(ARGV[9]), tonumber(ARGV[10])))
if status == 'refused' then
  local refused = 'customer-refused:' .. customer
  redis.call('ZADD', refused, micros, id)
  local over = redis.call('ZCARD', refused) - tonumber(ARGV[11])
  if over > 0 then
    for _, oldest in ipairs(redis.call('ZRANGE', refused, 0, math.min(over, 100) - 1)) do forget_order(oldest) end
  end
elseif account ~= '' then
  redis.call('ZADD', 'account-orders:' .. account, micros, id)
  redis.call('EXPIREAT', 'account-orders:' .. account,
             (tonumber(redis.call('ZSCORE', 'accounts', account) or now)) + SWEEP_GRACE)
end
return {'ok', id}
