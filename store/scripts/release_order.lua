-- An attempt (or the wait for one: '') that gave nothing: the order waits for the next, longer after each; with an error it
-- becomes invalid.
-- keys: order:<id>, attempts, orders-waiting, orders:<status>, orders-by-expiry
-- arguments: order, attempt or '', has error, error, refused_retention, first and longest pause (ms)
-- result: ok | conflict | notfound
-- uses: common, order
local id, attempt, has_error = ARGV[1], ARGV[2], ARGV[3] == '1'
local order = load_hash('order:' .. id)
if not order then return {'notfound', 'no such order'} end
if order.status ~= 'processing' or (order.attempt or '') ~= attempt then
  local was_released = attempt ~= '' and order.released == attempt and not order.attempt
  if was_released and order.status == (has_error and 'invalid' or 'processing') then return {'ok'} end
  return {'conflict', 'the order is ' .. order.status .. ', not in processing by this attempt'}
end
local now, micros = now_parts()
local tries = tonumber(order.tries or '0')
local due = math.floor(micros / 1000) + math.min(tonumber(ARGV[6]) * 2 ^ math.min(tries, 30), tonumber(ARGV[7]))
redis.call('HSET', 'order:' .. id, 'tries', tries + 1)
if attempt ~= '' then
  release_attempt(id, order, attempt, due)
else
  redis.call('ZADD', 'orders-waiting', due, id)
end
if has_error then
  redis.call('HSET', 'order:' .. id, 'error', ARGV[4])
  move_order(id, order, 'invalid', order_end('invalid', tonumber(order.expires), now, 0, tonumber(ARGV[5])))
end
return {'ok'}
