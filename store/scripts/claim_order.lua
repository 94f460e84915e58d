-- ready -> processing for one attempt: exactly one winner. Also of an order in processing that waits for another attempt: only
-- for the CSR that it was first claimed with.
-- keys: order:<id>, attempts, account:<id>, customer:<id>, api-key:<id>, zone:<id>, zone-name:<suffix>, account-spki:<spki>,
--   blocked-keys, blocked-keys:<customer or account>, orders:<status>, orders-waiting, ledger-stops, ledger-checks-since
-- arguments: order, attempt, claimed at (ms), csr_sha256, spki_sha256, the CSR (DER), issuer
-- result: ok, id, fields | stopped, message, id, fields | conflict, message, id, fields | refused, message, id, fields | notfound
-- uses: common, rights, key, order, stop
local id, attempt, claimed, csr, spki = unpack(ARGV, 1, 5)
local key = 'order:' .. id
local order, flat = load_hash(key)
if not order then return {'notfound', 'no such order'} end
local now = now_parts()
if order.status == 'processing' and order.attempt == attempt then return {'ok', id, flat} end
local waits = order.status == 'processing' and not order.attempt and order.csr == csr
if order.status ~= 'ready' and not waits then return {'conflict', 'the order is ' .. order.status .. ', not ready', id, flat} end
if tonumber(order.expires) <= now then return {'conflict', 'the order has expired', id, flat} end
if order.released == attempt then return {'conflict', 'the attempt was released before', id, flat} end
for i = 0, tonumber(order.count) - 1 do
  local status, ends = string.match(order[i .. 's'], '^(%S+) %d+ (%d+)')
  if status ~= 'valid' or tonumber(ends) <= now then
    return {'conflict', 'an authorization of the order is not valid any more', id, flat}
  end
end
local stop = stop_of(order.customer or '', order.zones or '', ARGV[7])
if stop then return {stop[1], stop[2], id, flat} end
local problem = order_problem(order)
if problem then return {'refused', problem, id, flat} end
local outdated, lost = outdated_problem(order), lost_check_problem(order)
if outdated or lost then
  flat[#flat + 1] = 'outdated'
  flat[#flat + 1] = outdated and '1' or '2'
  return {'conflict', outdated or lost, id, flat}
end
if redis.call('EXISTS', 'account-spki:' .. spki) == 1 then
  return {'refused', 'the key is an account\'s key: a certificate needs its own', id, flat}
end
if is_key_blocked(spki, order.customer or '', order.account or '') then
  return {'refused', 'the key is known as compromised: make a new one', id, flat}
end
redis.call('HSET', key, 'attempt', attempt, 'claimed', claimed, 'csr', csr, 'csr_der', ARGV[6])
redis.call('ZREM', 'orders-waiting', id)
redis.call('ZADD', 'attempts', claimed, id)
-- An order that expires during its issuance must not vanish under it.
move_order(id, order, 'processing', math.max(tonumber(order.expires), now + 3600))
order, flat = load_hash(key)
return {'ok', id, flat}
