-- Creates an account, or returns the one that has this key already.
-- keys: account-key:<thumbprint>, account-key-claim:<thumbprint>, account-spki:<spki>, account:<id>, accounts, customer-accounts:<customer or ->,
--   key-certificates:<spki>, blocked-keys, blocked-keys:<customer>, eab:<kid>
-- arguments: id, idle life, thumbprint, spki, customer, eab kid, then the fields in pairs
-- result: ok, was created, id, fields | refused | unavailable
-- uses: common, account, key
local id, idle, thumbprint, spki, customer, kid = unpack(ARGV, 1, 6)
local holder = redis.call('GET', 'account-key:' .. thumbprint)
if holder then
  local account, flat = load_hash('account:' .. holder)
  if account then return {'ok', holder == id and '1' or '0', holder, flat} end
end
if redis.call('EXISTS', 'account-key-claim:' .. thumbprint) == 1 then
  return {'unavailable', 'an account is about to have this key'}
end
if redis.call('EXISTS', 'key-certificates:' .. spki) == 1 then
  return {'refused', 'the key is the key of a certificate: an account needs its own'}
end
if is_key_blocked(spki, customer, '') then return {'refused', 'the key is known as compromised'} end
if kid ~= '' then
  local binding = redis.call('HMGET', 'eab:' .. kid, 'customer', 'revoked')
  if binding[1] ~= customer or binding[2] then return {'refused', 'the external account binding key is revoked'} end
end
local now, micros = now_parts()
set_fields('account:' .. id, ARGV, 7)
redis.call('SET', 'account-key:' .. thumbprint, id)
redis.call('SET', 'account-spki:' .. spki, id)
renew_account(id, {thumbprint = thumbprint, spki = spki}, now, idle)
list_account(id, customer, micros)
local _, flat = load_hash('account:' .. id)
return {'ok', '1', id, flat}
