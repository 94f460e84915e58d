-- Contacts, agreement, deactivation. Deactivation is final.
-- keys: account:<id>, account-names:<id>, ledger:<host>
-- arguments: id, has contacts, contacts, agrees, deactivates, the right that ends (lib/right.lua)
-- result: ok, id, fields | notfound | refused
-- uses: common, ending
local id = ARGV[1]
take_right(6)
local key = 'account:' .. id
local account, flat = load_hash(key)
if not account then return {'notfound', 'no such account'} end
if account.status ~= 'valid' then
  if ARGV[5] == '1' and account.status == 'deactivated' then return {'ok', id, flat} end
  return {'refused', 'the account is ' .. account.status, id, flat}
end
if ARGV[2] == '1' then redis.call('HSET', key, 'contacts', ARGV[3]) end
if ARGV[4] == '1' then redis.call('HSET', key, 'terms', '1') end
if ARGV[5] == '1' then deactivate_account(id) end
account, flat = load_hash(key)
return {'ok', id, flat}
