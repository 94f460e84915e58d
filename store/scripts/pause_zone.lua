-- Pauses a zone, or lets it go on in the status it had; an active name that somebody else took meanwhile has moved.
-- keys: zone:<id>, zone-name:<name>, zones:<status>, zones-due
-- arguments: id, is_paused
-- result: ok, id, fields | notfound
-- uses: common, zone
local id, is_paused = ARGV[1], ARGV[2] == '1'
local key = 'zone:' .. id
local zone, flat = load_hash(key)
if not zone or zone.status == 'deleted' then return {'notfound', 'no such zone'} end
local now, micros = now_parts()
if is_paused and zone.status ~= 'paused' then
  redis.call('HSET', key, 'resumes', zone.status)
  if zone.status == 'active' then redis.call('HDEL', 'zone-name:' .. zone.name, 'active') end
  move_zone(id, zone.status, 'paused', micros)
  redis.call('ZREM', 'zones-due', id)
elseif not is_paused and zone.status == 'paused' then
  local to = zone.resumes or 'pending'
  if to == 'active' then
    local other = redis.call('HGET', 'zone-name:' .. zone.name, 'active')
    if other then to = 'moved' else redis.call('HSET', 'zone-name:' .. zone.name, 'active', id) end
  end
  redis.call('HDEL', key, 'resumes')
  move_zone(id, 'paused', to, micros)
  redis.call('ZADD', 'zones-due', now, id)
end
zone, flat = load_hash(key)
return {'ok', id, flat}
