-- The host replays its ledger up to a record: of what these say, customers and accounts may be gone for good, and that is known.
-- keys: ledger:<host>
-- arguments: host, sequence of the last record
-- result: ok
local key = 'ledger:' .. ARGV[1]
local known = tonumber(redis.call('HGET', key, 'replayed') or '0')
if tonumber(ARGV[2]) > known then redis.call('HSET', key, 'replayed', ARGV[2]) end
return {'ok'}
