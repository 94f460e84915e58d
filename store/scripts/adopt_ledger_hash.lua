-- Takes over the hash of the last applied record where none is known: of a Redis that an earlier version filled.
-- keys: ledger:<host>, format
-- arguments: host, ledger id, applied, hash, format
-- result: ok
local key = 'ledger:' .. ARGV[1]
local state = redis.call('HMGET', key, 'id', 'applied', 'hash')
if state[1] == ARGV[2] and state[2] == ARGV[3] and (state[3] or '') == '' then
  redis.call('HSET', key, 'hash', ARGV[4])
  redis.call('SET', 'format', ARGV[5], 'NX')
end
return {'ok'}
