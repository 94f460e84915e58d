-- Spends a nonce (one bit of its block) and loads the account by id or by thumbprint, if one is asked for.
-- keys: nonce:<block>, account-key:<thumbprint>, account:<id>, accounts and what else ends with the account
-- arguments: block, index, end of the block's life, account id or '', thumbprint or '', idle life of accounts
-- result: ok, account id or '', fields | conflict
-- uses: common, account
local nonce, id = 'nonce:' .. ARGV[1], ARGV[4]
if redis.call('SETBIT', nonce, ARGV[2], 1) == 1 then return {'conflict', 'the nonce was used before'} end
-- The end given is that of the newest nonce the block can still get, so it is set once.
redis.call('EXPIREAT', nonce, ARGV[3], 'NX')
if ARGV[5] ~= '' then id = redis.call('GET', 'account-key:' .. ARGV[5]) or '' end
if id == '' then return {'ok', '', {}} end
local account, flat = load_hash('account:' .. id)
if not account then return {'ok', '', {}} end
local now = tonumber(redis.call('TIME')[1])
if now - tonumber(account.used) > 86400 then renew_account(id, account, now, tonumber(ARGV[6])) end
return {'ok', id, flat}
