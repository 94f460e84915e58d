-- Is the key blocked, and is it an account's?
-- keys: blocked-keys, account-spki:<spki>
-- arguments: spki_sha256
-- result: ok, is blocked, is account key
return {'ok', redis.call('SISMEMBER', 'blocked-keys', ARGV[1]), redis.call('EXISTS', 'account-spki:' .. ARGV[1])}
