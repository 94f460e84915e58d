-- Key rollover (RFC 8555 7.3.5): compare and set on the old thumbprint, in two steps, because the ledger comes in between.
-- "claim" judges and keeps others from changing the key meanwhile; "act" does what the ledger says then.
-- keys: account:<id>, account-key:<thumbprint>, account-key-claim:<thumbprint>, account-spki:<spki>, key-certificates:<spki>, blocked-keys,
--   blocked-keys:<customer or account>, ledger:<host>
-- arguments: id, old thumbprint, new thumbprint, new jwk, new spki, idle life, "claim" or "act", seconds that a claim holds,
--   the right (lib/right.lua)
-- result: ok | conflict, message, account that holds the new key (none: the account's own key is being changed) | refused | notfound
-- uses: common, account, key, ending
local id, old, new, jwk, spki = unpack(ARGV, 1, 5)
local right = take_right(9)
local key = 'account:' .. id
local account = load_hash(key)
if not account then return {'notfound', 'no such account'} end
if account.status ~= 'valid' then return {'refused', 'the account is ' .. account.status} end
if account.thumbprint == new then return {'ok'} end
if account.thumbprint ~= old then return {'refused', 'the account has another key by now'} end
local now = now_parts()
local claimed, ends = string.match(account.key_claim or '', '^(%S+) (%d+)$')
local is_claimed_by_other = claimed and claimed ~= new and tonumber(ends) > now
if ARGV[7] == 'act' then
  if is_claimed_by_other then return {'refused', 'another change of the key is under way'} end
  redis.call('HDEL', key, 'key_claim')
  set_account_key(id, account, new, jwk, spki, right.at, now, tonumber(ARGV[6]))
  return {'ok'}
end
local holder = redis.call('GET', 'account-key:' .. new)
if holder and redis.call('EXISTS', 'account:' .. holder) == 1 then
  return {'conflict', 'another account has the new key', holder}
end
if redis.call('EXISTS', 'key-certificates:' .. spki) == 1 then
  return {'refused', 'the new key is the key of a certificate: an account needs its own'}
end
if is_key_blocked(spki, account.customer or '', id) then return {'refused', 'the new key is known as compromised'} end
if is_claimed_by_other then return {'conflict', 'another change of the key is under way'} end
local key_claim = 'account-key-claim:' .. new
local claimer = redis.call('GET', key_claim)
if claimer and claimer ~= id then return {'conflict', 'another account has the new key', claimer} end
redis.call('SET', key_claim, id, 'EX', ARGV[8])
redis.call('HSET', key, 'key_claim', new .. ' ' .. (now + tonumber(ARGV[8])))
return {'ok'}
