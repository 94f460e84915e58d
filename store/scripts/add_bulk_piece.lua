-- A piece of the list of certificates that a job will revoke, with its seal (include/originca/bulk_seal.h).
-- keys: bulk-plan:<id>
-- arguments: id of the list, number of the piece, seal, serials (nothing between)
-- result: ok
local UNUSED = 600
local key = 'bulk-plan:' .. ARGV[1]
redis.call('HSET', key, ARGV[2], ARGV[3] .. ' ' .. ARGV[4])
redis.call('EXPIRE', key, UNUSED)
return {'ok'}
