-- Introduces a ledger: first contact, or after the operator confirmed a loss.
-- keys: ledger:<host>, ledger-ahead:<host>
-- arguments: host, ledger id, applied
-- result: ok
redis.call('HSET', 'ledger:' .. ARGV[1], 'id', ARGV[2], 'applied', ARGV[3])
redis.call('DEL', 'ledger-ahead:' .. ARGV[1])
return {'ok'}
