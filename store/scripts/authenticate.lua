-- Spends a nonce (one bit of its block) and loads the account by id or by thumbprint, if one is asked for. Nonces of before a
-- Redis that may have forgotten what was spent are spent. Where an account is unknown, a Redis that was emptied says so.
-- keys: nonce:<block>, nonces:not-before, ledger-hosts, account-key:<thumbprint>, account:<id>, accounts,
--   customer-accounts:<customer or -> and what else ends with the account
-- arguments: block, index, end of the block's life, account id or '', thumbprint or '', idle life of accounts, time of the nonce
-- result: ok, account id or '', fields | conflict | unavailable
-- uses: common, account
local nonce, id = 'nonce:' .. ARGV[1], ARGV[4]
if tonumber(ARGV[7]) < tonumber(redis.call('GET', 'nonces:not-before') or '0') then
  return {'conflict', 'it is older than the last recovery of the server'}
end
if redis.call('SETBIT', nonce, ARGV[2], 1) == 1 then return {'conflict', 'it was used before'} end
-- The end given is that of the newest nonce the block can still get, so it is set once.
redis.call('EXPIREAT', nonce, ARGV[3], 'NX')
if ARGV[5] ~= '' then id = redis.call('GET', 'account-key:' .. ARGV[5]) or '' end
local account, flat
if id ~= '' then account, flat = load_hash('account:' .. id) end
if not account then
  local is_asked = ARGV[4] ~= '' or ARGV[5] ~= ''
  if is_asked and redis.call('EXISTS', 'ledger-hosts') == 0 then return {'unavailable', 'Redis is empty'} end
  return {'ok', '', {}}
end
local now = tonumber(redis.call('TIME')[1])
if now - tonumber(account.used) > 86400 then
  renew_account(id, account, now, tonumber(ARGV[6]))
  list_known_account(id, account) -- of a server of before these lists, while hosts are upgraded one by one
end
return {'ok', id, flat}
