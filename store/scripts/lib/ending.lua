-- Keys and accounts that end, and an account's new key.
-- uses: account, right

local function end_api_key(id, at)
  local key = 'api-key:' .. id
  if redis.call('HGET', key, 'customer') then
    redis.call('HSETNX', key, 'revoked', math.floor(at / 1000))
    redis.call('HDEL', key, 'hash')
  end
end

local function end_eab_key(kid, at)
  if redis.call('HGET', 'eab:' .. kid, 'customer') then
    redis.call('HSETNX', 'eab:' .. kid, 'revoked', math.floor(at / 1000))
  end
end

-- For good.
local function deactivate_account(id)
  redis.call('HSET', 'account:' .. id, 'status', 'deactivated')
  redis.call('DEL', 'account-names:' .. id, 'account-proofs:' .. id)
end

-- The account's former key can nothing any more. Where another account has the new key by now, this one has it too, and is
-- found by its URL alone.
local function set_account_key(id, account, thumbprint, jwk, spki, at, now, idle)
  redis.call('DEL', 'account-key:' .. account.thumbprint, 'account-spki:' .. account.spki, 'account-key-claim:' .. thumbprint)
  redis.call('HDEL', 'account:' .. id, 'key_claim')
  redis.call('HSET', 'account:' .. id, 'thumbprint', thumbprint, 'jwk', jwk, 'spki', spki, 'key_at', moment(at))
  redis.call('SET', 'account-key:' .. thumbprint, id, 'NX')
  redis.call('SET', 'account-spki:' .. spki, id, 'NX')
  renew_account(id, {thumbprint = thumbprint, spki = spki}, now, idle)
end
