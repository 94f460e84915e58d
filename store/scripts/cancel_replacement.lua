-- Renewal information goes back to what the certificates' own lives say.
-- keys: replacement:<id>, replacements-open
-- arguments: id, by
-- result: ok, id, {fields} | notfound | conflict
-- uses: common
local id, by = ARGV[1], ARGV[2]
local key = 'replacement:' .. id
local known = load_hash(key)
if not known then return {'notfound', 'no such replacement'} end
if known.cancelled then return {'conflict', 'the replacement is cancelled already'} end
redis.call('HSET', key, 'cancelled', (now_parts()), 'cancelled_by', by)
redis.call('ZREM', 'replacements-open', id)
return {'ok', id, redis.call('HGETALL', key)}
