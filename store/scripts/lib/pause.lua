-- A zone is paused, goes on, or ends; a customer is stopped, or goes on.
-- uses: common, zone, zones_below, order, delegation, right

-- What was active goes on so, and in doubt until DNS has been asked again; where somebody else had the name meanwhile, or a check
-- spoke against it, it has moved until a check holds.
local function resume_active(id, zone, now)
  local by_name = 'zone-name:' .. zone.name
  local was_others = redis.call('HGET', by_name, 'active') or
    held_by_others(zone.name, zone.customer) >= tonumber(zone.paused or '1')
  if was_others or tonumber(zone.negatives or '0') > 0 then return 'moved' end
  redis.call('HSET', by_name, 'active', id)
  doubt_zone(id, now)
  return 'active'
end

-- Paused, or going on.
local function set_zone_paused(id, zone, is_paused, at, by, now, micros)
  local key = 'zone:' .. id
  if not is_newer(zone.right_at, at, is_paused) then return end
  redis.call('HSET', key, 'right_at', moment(at))
  if is_paused and zone.status ~= 'paused' then
    redis.call('HSET', key, 'resumes', zone.status, 'paused', math.floor(at / 1000), 'paused_by', by)
    if zone.status == 'active' then
      note_held(zone, math.floor(at / 1000))
      redis.call('HDEL', 'zone-name:' .. zone.name, 'active')
    end
    move_zone(id, zone.status, 'paused', micros)
    redis.call('ZREM', 'zones-due', id)
  elseif not is_paused and zone.status == 'paused' then
    local to = zone.resumes or 'pending'
    if to == 'active' then to = resume_active(id, zone, now) end
    redis.call('HDEL', key, 'resumes', 'paused', 'paused_by')
    move_zone(id, 'paused', to, micros)
    redis.call('ZADD', 'zones-due', now, id)
  end
end

-- Off-boarded, for good: from now on nothing is issued for it. Its name servers stay taken as long as the name may be delegated
-- to them (lib/delegation.lua).
local function end_zone(id, zone, keep, leave, now)
  if zone.status == 'deleted' then return end
  local by_name = 'zone-name:' .. zone.name
  redis.call('HDEL', by_name, zone.customer)
  if redis.call('HGET', by_name, 'active') == id then
    note_held(zone, now)
    redis.call('HDEL', by_name, 'active')
  end
  redis.call('ZREM', 'zones', id)
  forget_zone_name(id, zone.name, zone.customer)
  redis.call('ZREM', 'customer-zones:' .. zone.customer, id)
  redis.call('ZREM', 'zones-due', id)
  move_zone(id, zone.status, 'deleted', now + keep)
  expire_at('zone:' .. id, now + keep)
  keep_set(zone, now)
  leave_zone(id, zone, now + leave)
end

-- Its open orders become invalid, 500 a call; the number done so far, or -1 when that was all.
local function end_zone_orders(id, done, now, retention)
  local orders = redis.call('ZRANGE', 'zone-orders:' .. id, done, done + 499)
  for _, order_id in ipairs(orders) do
    local order = load_hash('order:' .. order_id)
    if order and (order.status == 'pending' or order.status == 'ready' or order.status == 'processing') then
      redis.call('HSET', 'order:' .. order_id, 'error',
                 '{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"The zone was removed."}')
      move_order(order_id, order, 'invalid', order_end('invalid', tonumber(order.expires), now, 0, retention))
    end
  end
  return #orders == 500 and done + 500 or -1
end

local function set_customer_suspended(id, is_suspended, at, by)
  local key = 'customer:' .. id
  local known = redis.call('HMGET', key, 'name', 'right_at')
  if not known[1] or not is_newer(known[2], at, is_suspended) then return end
  redis.call('HSET', key, 'right_at', moment(at))
  if is_suspended then
    redis.call('HSET', key, 'suspended', math.floor(at / 1000), 'suspended_by', by)
    redis.call('ZADD', 'customers-suspended', at, id)
  else
    redis.call('HDEL', key, 'suspended', 'suspended_by')
    redis.call('ZREM', 'customers-suspended', id)
  end
end
