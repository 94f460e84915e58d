-- Key rollover (RFC 8555 7.3.5): compare and set on the old thumbprint.
-- keys: account:<id>, account-key:<thumbprint>, account-spki:<spki>, key-certificates:<spki>, blocked-keys,
--   blocked-keys:<customer or account>
-- arguments: id, old thumbprint, new thumbprint, new jwk, new spki, idle life
-- result: ok | conflict, message, account that holds the new key | refused | notfound
-- uses: common, account, key
local id, old, new, jwk, spki = unpack(ARGV, 1, 5)
local key = 'account:' .. id
local account = load_hash(key)
if not account then return {'notfound', 'no such account'} end
if account.status ~= 'valid' then return {'refused', 'the account is ' .. account.status} end
if account.thumbprint == new then return {'ok'} end
if account.thumbprint ~= old then return {'refused', 'the account has another key by now'} end
local holder = redis.call('GET', 'account-key:' .. new)
if holder and redis.call('EXISTS', 'account:' .. holder) == 1 then
  return {'conflict', 'another account has the new key', holder}
end
if redis.call('EXISTS', 'key-certificates:' .. spki) == 1 then
  return {'refused', 'the new key is the key of a certificate: an account needs its own'}
end
if is_key_blocked(spki, account.customer or '', id) then return {'refused', 'the new key is known as compromised'} end
redis.call('DEL', 'account-key:' .. old, 'account-spki:' .. account.spki)
redis.call('SET', 'account-key:' .. new, id)
redis.call('SET', 'account-spki:' .. spki, id)
redis.call('HSET', key, 'thumbprint', new, 'jwk', jwk, 'spki', spki)
renew_account(id, {thumbprint = new, spki = spki}, (now_parts()), tonumber(ARGV[6]))
return {'ok'}
