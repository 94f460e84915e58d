-- Sets how the edge speaks to the origins of a zone.
-- keys: zone:<id>
-- arguments: id, mode (off, flexible, full, strict)
-- result: ok, id, fields | notfound
-- uses: common
local id, mode = ARGV[1], ARGV[2]
local key = 'zone:' .. id
local zone, flat = load_hash(key)
if not zone or zone.status == 'deleted' then return {'notfound', 'no such zone'} end
if zone.ssl ~= mode then
  redis.call('HSET', key, 'ssl', mode, 'ssl_changed', (now_parts()))
  zone, flat = load_hash(key)
end
return {'ok', id, flat}
