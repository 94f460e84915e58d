-- Key rollover (RFC 8555 7.3.5): compare and set on the old thumbprint, in two steps, because the ledger comes in between.
-- "claim" judges and keeps others from changing the key meanwhile; "act" does what the ledger says then.
-- keys: account:<id>, account-key:<thumbprint>, account-key-claim:<thumbprint>, account-spki:<spki>, key-certificates:<spki>, blocked-keys,
--   blocked-keys:<customer or account>, ledger:<host>
-- arguments: id, old thumbprint, new thumbprint, new jwk, new spki, idle life, "claim" or "act", seconds that a claim holds,
--   the right (lib/right.lua)
-- result: ok | conflict, message, account that holds the new key, '' | refused | notfound
--   | unavailable, message, '', seconds after which that has passed (another change, perhaps one that broke off)
-- uses: common, account, key, ending
local id, old, new, jwk, spki = unpack(ARGV, 1, 5)
local right = take_right(9)
local key = 'account:' .. id
local account = load_hash(key)
if not account then return {'notfound', 'no such account'} end
-- What changed since the request was authenticated the next one is told.
if account.status ~= 'valid' then return {'unavailable', 'the account is ' .. account.status .. ' by now', '', '0'} end
if account.thumbprint == new then return {'ok'} end
local now = now_parts()
if ARGV[7] == 'act' then
  if not is_newer(account.key_at, right.at, true) then
    return {'unavailable', 'the account has a newer key by now', '', '0'}
  end
  set_account_key(id, account, new, jwk, spki, right.at, now, tonumber(ARGV[6]))
  return {'ok'}
end
if account.thumbprint ~= old then return {'unavailable', 'the account has another key by now', '', '0'} end
local holder = redis.call('GET', 'account-key:' .. new)
if holder and redis.call('EXISTS', 'account:' .. holder) == 1 then
  return {'conflict', 'another account has the new key', holder, ''}
end
if redis.call('EXISTS', 'key-certificates:' .. spki) == 1 then
  return {'refused', 'the new key is the key of a certificate: an account needs its own'}
end
if is_key_blocked(spki, account.customer or '', id) then return {'refused', 'the new key is known as compromised'} end
local claimed, ends = string.match(account.key_claim or '', '^(%S+) (%d+)$')
if claimed and claimed ~= new and tonumber(ends) > now then
  return {'unavailable', 'another change of the key is under way', '', string.format('%d', tonumber(ends) - now)}
end
local key_claim = 'account-key-claim:' .. new
local claimer = redis.call('GET', key_claim)
if claimer and claimer ~= id then
  return {'unavailable', 'another account is about to have the new key', '', ARGV[8]}
end
redis.call('SET', key_claim, id, 'EX', ARGV[8])
redis.call('HSET', key, 'key_claim', new .. ' ' .. (now + tonumber(ARGV[8])))
return {'ok'}
