-- Zones whose check is due; each is leased to the caller by moving its time ahead.
-- keys: zones-due, zone:<id>, zone-name:<name or what is above>, name-sets:<name>
-- arguments: limit, lease in seconds
-- result: ok, '', {id, fields} ...
-- uses: common, zone, delegation
local now = now_parts()
local reply = {'ok', ''}
for _, id in ipairs(redis.call('ZRANGE', 'zones-due', '-inf', now, 'BYSCORE', 'LIMIT', 0, tonumber(ARGV[1]))) do
  local zone, flat = load_hash('zone:' .. id)
  if not zone or zone.status == 'deleted' or zone.status == 'paused' then
    redis.call('ZREM', 'zones-due', id)
  else
    redis.call('ZADD', 'zones-due', now + tonumber(ARGV[2]), id)
    add_rivals(flat, zone.name, zone.customer, zone.status, zone.servers, zone.blind)
    reply[#reply + 1] = {id, add_others_zones(flat, zone.name, zone.customer)}
  end
end
return reply
