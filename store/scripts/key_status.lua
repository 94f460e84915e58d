-- Is the key blocked for that customer or account, and is it an account's?
-- keys: blocked-keys, blocked-keys:<customer or account>, account-spki:<spki>
-- arguments: spki_sha256, customer or '', account or ''
-- result: ok, is blocked, is account key
-- uses: key
local spki, customer, account = unpack(ARGV, 1, 3)
return {'ok', is_key_blocked(spki, customer, account) and 1 or 0, redis.call('EXISTS', 'account-spki:' .. spki)}
