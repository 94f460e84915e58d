-- Who revoked this certificate is being told that it holds.
-- keys: certificate:<serial>
-- arguments: serial
-- result: ok
local key = 'certificate:' .. ARGV[1]
if redis.call('HGET', key, 'status') == 'revoked' then redis.call('HSET', key, 'told', '1') end
return {'ok'}
