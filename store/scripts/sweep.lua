-- Removes what has reached the end of its life, with its index entries; at most `limit` objects a call.
-- Accounts of before they were listed by customer are listed on the way.
-- keys: orders-by-expiry, certificates-by-expiry, accounts, accounts-listed, zones:deleted and the objects in them
-- arguments: limit, certificate_retention, idle life of accounts
-- result: ok, number removed
-- uses: common, order, certificate, account
local limit, retention, idle = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = now_parts()
local looked, removed = 0, 0
local function ended(index, until_time)
  local left = limit - looked
  if left <= 0 then return {} end
  local list = redis.call('ZRANGE', index, '-inf', until_time, 'BYSCORE', 'LIMIT', 0, left)
  looked = looked + #list
  return list
end
for _, id in ipairs(ended('orders-by-expiry', now)) do
  if redis.call('HGET', 'order:' .. id, 'status') == 'processing' then
    keep_order(id, now + SWEEP_GRACE) -- the reconciler ends it first, with a reason that its client finds
  else
    forget_order(id)
    removed = removed + 1
  end
end
for _, serial in ipairs(ended('certificates-by-expiry', now - retention)) do
  forget_certificate(serial)
  removed = removed + 1
end
for _, id in ipairs(ended('accounts', now)) do
  local account = redis.call('HMGET', 'account:' .. id, 'used', 'thumbprint', 'spki', 'customer')
  local ends = tonumber(account[1] or '0') + idle
  if account[1] and ends > now then
    redis.call('ZADD', 'accounts', ends, id) -- the setting was raised
  else
    redis.call('DEL', 'account:' .. id, 'account-names:' .. id, 'account-proofs:' .. id, 'account-orders:' .. id,
               'blocked-keys:' .. id)
    if account[2] then redis.call('DEL', 'account-key:' .. account[2], 'account-spki:' .. account[3]) end
    redis.call('ZREM', 'accounts', id)
    redis.call('ZREM', 'customer-accounts:' .. (account[4] or '-'), id)
    removed = removed + 1
  end
end
list_former_accounts(limit)
for _, id in ipairs(ended('zones:deleted', now)) do
  if redis.call('EXISTS', 'zone-certificates:' .. id) == 1 then
    -- Who had the zone goes on seeing the certificates that he got in it.
    redis.call('ZADD', 'zones:deleted', now + SWEEP_GRACE, id)
    expire_at('zone:' .. id, now + SWEEP_GRACE)
  else
    redis.call('DEL', 'zone:' .. id)
    redis.call('ZREM', 'zones:deleted', id)
    removed = removed + 1
  end
end
return {'ok', removed}
