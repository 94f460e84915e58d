-- Orders: status with its index, end of life, and removal with everything that points at them.
-- uses: common, account

-- Where an order's life ends: valid ones keep as long as their evidence, failed ones as long as refused attempts.
local function order_end(status, expires, now, evidence_retention, refused_retention)
  if status == 'valid' then return math.max(expires, now + evidence_retention) end
  if status == 'invalid' or status == 'refused' then return math.max(expires, now + refused_retention) end
  return expires
end

local function keep_order(id, ends)
  redis.call('ZADD', 'orders-by-expiry', ends, id)
  expire_at('order:' .. id, ends)
  expire_at('evidence:' .. id, ends)
end

-- Changes the status of an order that exists; `order` is its table.
local function move_order(id, order, to, ends)
  local created = redis.call('ZSCORE', 'orders', id) or '0'
  redis.call('ZREM', 'orders:' .. order.status, id)
  redis.call('ZADD', 'orders:' .. to, created, id)
  if to ~= 'processing' then
    redis.call('ZREM', 'attempts', id)
    redis.call('ZREM', 'orders-waiting', id)
    redis.call('HDEL', 'order:' .. id, 'csr_der', 'tries')
  end
  redis.call('HSET', 'order:' .. id, 'status', to)
  order.status = to
  keep_order(id, ends)
end

-- The attempt has given no certificate; it is remembered as released. The order stays in processing (RFC 8555 7.1.6 knows no
-- way back to ready) and waits for the reconciler, which makes another attempt from `due` (ms) on.
local function release_attempt(id, order, attempt, due)
  redis.call('HSET', 'order:' .. id, 'released', attempt)
  redis.call('HDEL', 'order:' .. id, 'attempt', 'claimed')
  order.attempt = nil
  redis.call('ZREM', 'attempts', id)
  redis.call('ZADD', 'orders-waiting', due, id)
end

-- What cannot be read any more, nor deactivated, gives no right either: the authorizations of an order go with it.
local function forget_authorizations(id, account, zones)
  local order, list = load_hash('order:' .. id) or {}, {}
  for zone in string.gmatch(zones, '%S+') do list[#list + 1] = zone end
  for i = 0, (tonumber(order.count) or 0) - 1 do
    local name, zone = string.match(order[tostring(i)] or '', '^(%S+) (%S+)')
    local status, ends = string.match(order[i .. 's'] or '', '^(%S+) %d+ (%d+)')
    local held = status == 'valid' and name .. ' ' .. (list[(tonumber(zone) or -1) + 1] or '')
    -- A newer authorization has a later end, and stays.
    if held and redis.call('ZSCORE', 'account-names:' .. account, held) == ends then forget_name(account, held) end
  end
end

local function forget_order(id)
  local key = 'order:' .. id
  local order = redis.call('HMGET', key, 'status', 'customer', 'account', 'zones')
  redis.call('ZREM', 'orders', id)
  redis.call('ZREM', 'orders-by-expiry', id)
  redis.call('ZREM', 'attempts', id)
  redis.call('ZREM', 'orders-waiting', id)
  if order[1] then
    redis.call('ZREM', 'orders:' .. order[1], id)
    redis.call('ZREM', 'customer-orders:' .. (order[2] or ''), id)
    redis.call('ZREM', 'customer-refused:' .. (order[2] or ''), id)
    redis.call('ZREM', 'account-orders:' .. (order[3] or ''), id)
    for zone in string.gmatch(order[4] or '', '%S+') do redis.call('ZREM', 'zone-orders:' .. zone, id) end
    if (order[3] or '') ~= '' then forget_authorizations(id, order[3], order[4] or '') end
  else
    for _, status in ipairs({'pending', 'ready', 'processing', 'valid', 'invalid', 'refused'}) do
      redis.call('ZREM', 'orders:' .. status, id)
    end
  end
  redis.call('DEL', key, 'evidence:' .. id)
end
