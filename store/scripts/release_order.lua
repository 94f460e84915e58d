-- processing by this attempt -> ready (nothing was signed) or, with an error, invalid.
-- keys: order:<id>, attempts, orders:<status>, orders-by-expiry
-- arguments: order, attempt, has error, error, refused_retention
-- result: ok | conflict | notfound
-- uses: common, order
local id, attempt, has_error = ARGV[1], ARGV[2], ARGV[3] == '1'
local order = load_hash('order:' .. id)
if not order then return {'notfound', 'no such order'} end
local is_ours = order.status == 'processing' and order.attempt == attempt
local was_released = order.released == attempt and order.status == 'ready'
if not is_ours and not was_released then
  if order.released == attempt and order.status == 'invalid' then return {'ok'} end
  return {'conflict', 'the order is ' .. order.status .. ', not in processing by this attempt'}
end
if is_ours then release_attempt(id, order, attempt) end
if has_error then
  redis.call('HSET', 'order:' .. id, 'error', ARGV[4])
  move_order(id, order, 'invalid', order_end('invalid', tonumber(order.expires), (now_parts()), 0, tonumber(ARGV[5])))
end
return {'ok'}
