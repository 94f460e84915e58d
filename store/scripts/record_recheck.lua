-- A DNS check at finalize that held for every name: newer time and evidence.
-- keys: order:<id>, evidence:<id>
-- arguments: order, checked_at, evidence
-- result: ok | notfound | conflict
-- uses: common, order
local id, checked, evidence = ARGV[1], ARGV[2], ARGV[3]
local order = load_hash('order:' .. id)
if not order then return {'notfound', 'no such order'} end
if order.status ~= 'ready' and order.status ~= 'processing' and order.status ~= 'pending' then
  return {'conflict', 'the order is ' .. order.status}
end
if tonumber(checked) < tonumber(order.checked or '0') then return {'ok'} end
redis.call('HSET', 'order:' .. id, 'checked', checked)
redis.call('DEL', 'evidence:' .. id)
redis.call('HSET', 'evidence:' .. id, 'all', evidence)
expire_at('evidence:' .. id, tonumber(redis.call('ZSCORE', 'orders-by-expiry', id) or order.expires))
return {'ok'}
