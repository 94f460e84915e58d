-- Off-boards a zone. From the first call on nothing is issued for it; its open orders become invalid, 500 a call.
-- Its name servers stay taken as long as the name may be delegated to them (lib/delegation.lua).
-- keys: zone:<id>, zone-name:<name>, name-sets:<name>, zones-left:<name>, names-due, zones, zones:<status>, customer-zones:<customer>, zones-due, zone-orders:<id>,
--   order:<id> and its indexes
-- arguments: id, seconds that the deleted zone stays readable, number of orders done, refused_retention, seconds that name
--   servers may still have it
-- result: ok, number of orders done so far, or -1 when that was all | notfound
-- uses: common, zone, order, delegation
local id, keep, done = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local key = 'zone:' .. id
local zone = load_hash(key)
if not zone then return {'notfound', 'no such zone'} end
local now = now_parts()
if zone.status ~= 'deleted' then
  local by_name = 'zone-name:' .. zone.name
  redis.call('HDEL', by_name, zone.customer)
  if redis.call('HGET', by_name, 'active') == id then redis.call('HDEL', by_name, 'active') end
  redis.call('ZREM', 'zones', id)
  redis.call('ZREM', 'customer-zones:' .. zone.customer, id)
  redis.call('ZREM', 'zones-due', id)
  move_zone(id, zone.status, 'deleted', now + keep)
  expire_at(key, now + keep)
  keep_set(zone, now)
  leave_zone(id, zone, now + tonumber(ARGV[5]))
end
local orders = redis.call('ZRANGE', 'zone-orders:' .. id, done, done + 499)
for _, order_id in ipairs(orders) do
  local order = load_hash('order:' .. order_id)
  if order and (order.status == 'pending' or order.status == 'ready' or order.status == 'processing') then
    redis.call('HSET', 'order:' .. order_id, 'error',
               '{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"The zone was removed."}')
    move_order(order_id, order, 'invalid',
               order_end('invalid', tonumber(order.expires), now, 0, tonumber(ARGV[4])))
  end
end
return {'ok', #orders == 500 and done + 500 or -1}
