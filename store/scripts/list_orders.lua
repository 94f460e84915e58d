-- A page of orders, newest first, refused attempts included.
-- keys: orders, orders:<status>, customer-orders:<customer>, zone-orders:<zone>, order:<id>
-- arguments: status or '', zone id or '', customer or '', since, cursor or '', limit
-- result: ok, next cursor, {id, fields} ...
-- uses: page
local status, zone, customer, since = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local now = now_parts()
local index = 'orders'
if zone ~= '' then index = 'zone-orders:' .. zone
elseif customer ~= '' then index = 'customer-orders:' .. customer
elseif status ~= '' and status ~= 'invalid' then index = 'orders:' .. status end
return object_page('order:', index, ARGV[5], tonumber(ARGV[6]), '+inf', function(order)
  local is_now = order.status
  if (is_now == 'pending' or is_now == 'ready') and tonumber(order.expires) <= now then is_now = 'invalid' end
  return (status == '' or is_now == status) and (customer == '' or order.customer == customer) and
    tonumber(order.created) >= since
end)
