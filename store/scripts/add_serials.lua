-- Adds serials to a list that a selection can name; what nothing uses within an hour goes.
-- keys: bulk-serials:<id>
-- arguments: id, serial ...
-- result: ok, how many the list has
local key = 'bulk-serials:' .. ARGV[1]
local size = redis.call('ZCARD', key)
for i = 2, #ARGV do redis.call('ZADD', key, 'NX', size + i, ARGV[i]) end
redis.call('EXPIRE', key, 3600)
return {'ok', redis.call('ZCARD', key)}
