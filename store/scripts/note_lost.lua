-- What the host's admin process found missing of what its ledger proves; '' where nothing is. A Redis that lacks something holds
-- no longer all of the ledger, for the other hosts either.
-- keys: ledger:<host>
-- arguments: host, what is missing
-- result: ok
local key = 'ledger:' .. ARGV[1]
if ARGV[2] == '' then
  redis.call('HDEL', key, 'lost')
else
  redis.call('HSET', key, 'lost', ARGV[2])
  redis.call('HDEL', key, 'verified')
end
return {'ok'}
