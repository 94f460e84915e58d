-- ACME accounts: their life, and whether they may act.
-- nil, or why the account may not act. '' (orders of the REST API and of admins) is fine.
local function account_problem(id, customer)
  if id == '' then return nil end
  local account = redis.call('HMGET', 'account:' .. id, 'status', 'customer')
  if not account[1] then return 'the account does not exist' end
  if account[1] ~= 'valid' then return 'the account is ' .. account[1] end
  if customer and (account[2] or '') ~= customer then return 'the account is not of that customer' end
  return nil
end

-- Sets the end of an idle account's life on everything that is its own.
local function renew_account(id, map, now, idle)
  local ends = now + idle
  redis.call('HSET', 'account:' .. id, 'used', now)
  redis.call('ZADD', 'accounts', ends, id)
  for _, key in ipairs({'account:' .. id, 'account-key:' .. map.thumbprint, 'account-spki:' .. map.spki,
                        'account-orders:' .. id}) do
    redis.call('EXPIREAT', key, ends + 86400)
  end
end

-- What an account holds a valid authorization for: "name zone" with the time it ends, and in account-proofs when that was
-- proven. Whether the zone that it was proven in still gives a right is looked up when it is used (lib/rights.lua).
local function hold_name(id, held, proven, ends, now)
  if id == '' then return end
  local names, proofs = 'account-names:' .. id, 'account-proofs:' .. id
  local ended = redis.call('ZRANGE', names, '-inf', now, 'BYSCORE', 'LIMIT', 0, 500)
  if #ended > 0 then
    redis.call('ZREM', names, unpack(ended))
    redis.call('HDEL', proofs, unpack(ended))
  end
  if tonumber(redis.call('ZSCORE', names, held) or '0') <= tonumber(ends) then redis.call('HSET', proofs, held, proven) end
  redis.call('ZADD', names, 'GT', ends, held)
  for _, key in ipairs({names, proofs}) do
    if redis.call('EXPIREAT', key, ends, 'NX') == 0 then redis.call('EXPIREAT', key, ends, 'GT') end
  end
end

local function forget_name(id, held)
  redis.call('ZREM', 'account-names:' .. id, held)
  redis.call('HDEL', 'account-proofs:' .. id, held)
end
