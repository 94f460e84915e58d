-- What of a host's ledger Redis has applied.
-- keys: ledger:<host>, ledger-ahead:<host>
-- arguments: host
-- result: ok, ledger id or '', applied, highest applied
local state = redis.call('HMGET', 'ledger:' .. ARGV[1], 'id', 'applied')
local ahead = redis.call('ZRANGE', 'ledger-ahead:' .. ARGV[1], -1, -1)
local applied = state[2] or '0'
return {'ok', state[1] or '', applied, ahead[1] or applied}
