-- What of a host's ledger Redis has applied.
-- keys: ledger:<host>, ledger-ahead:<host>, format
-- arguments: host
-- result: ok, ledger id or '', applied, its hash or '', highest applied, its hash or '', format
local state = redis.call('HMGET', 'ledger:' .. ARGV[1], 'id', 'applied', 'hash')
local ahead = redis.call('ZRANGE', 'ledger-ahead:' .. ARGV[1], -1, -1)[1]
local applied, hash = state[2] or '0', state[3] or ''
local format = redis.call('GET', 'format') or '1'
if not ahead then return {'ok', state[1] or '', applied, hash, applied, hash, format} end
return {'ok', state[1] or '', applied, hash, string.match(ahead, '^%d+'), string.match(ahead, ':(%x+)$') or '', format}
