-- Introduces a ledger: first contact, or after the operator confirmed a loss.
-- keys: ledger:<host>, ledger-ahead:<host>, format
-- arguments: host, ledger id, applied, format
-- result: ok
redis.call('HSET', 'ledger:' .. ARGV[1], 'id', ARGV[2], 'applied', ARGV[3])
redis.call('HDEL', 'ledger:' .. ARGV[1], 'hash', 'lost')
redis.call('DEL', 'ledger-ahead:' .. ARGV[1])
redis.call('SET', 'format', ARGV[4], 'NX')
return {'ok'}
