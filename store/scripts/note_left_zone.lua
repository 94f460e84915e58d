-- A zone that was left has its job.
-- keys: zones-left
-- arguments: zone, since when it was left
-- result: ok
if redis.call('ZSCORE', 'zones-left', ARGV[1]) == ARGV[2] then redis.call('ZREM', 'zones-left', ARGV[1]) end
return {'ok'}
