-- A DNS check at finalize that held for every name: newer time and evidence.
-- keys: order:<id>, evidence:<id>, zone:<id>, zone-name:<name>, zones:<status>, zones-due, edge-events
-- arguments: order, checked_at, evidence, whether certificates of a moved zone leave the edges
-- result: ok | notfound | conflict
-- uses: common, order, proof
local id, checked, evidence = ARGV[1], ARGV[2], ARGV[3]
local order = load_hash('order:' .. id)
if not order then return {'notfound', 'no such order'} end
if order.status ~= 'ready' and order.status ~= 'processing' and order.status ~= 'pending' then
  return {'conflict', 'the order is ' .. order.status}
end
if tonumber(checked) < tonumber(order.checked or '0') then return {'ok'} end
if (order.customer or '') ~= '' then
  local now, micros = now_parts()
  note_proof(id, order.zones or '', checked, now, micros, ARGV[4] == '1')
end
redis.call('HSET', 'order:' .. id, 'checked', checked)
redis.call('DEL', 'evidence:' .. id)
redis.call('HSET', 'evidence:' .. id, 'all', evidence)
expire_at('evidence:' .. id, tonumber(redis.call('ZSCORE', 'orders-by-expiry', id) or order.expires))
return {'ok'}
