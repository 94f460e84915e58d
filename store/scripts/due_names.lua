-- Names of zones that went, whose delegation is due to be looked at; each is leased to the caller by moving its time ahead.
-- keys: names-due, name-sets:<name or what is above>, zone-name:<what is above>, zone:<id>
-- arguments: limit, lease in seconds
-- result: ok, '', {'', fields: the name and the zones above} ...
-- uses: common, zone, delegation
local now = now_parts()
local reply = {'ok', ''}
for _, name in ipairs(redis.call('ZRANGE', 'names-due', '-inf', now, 'BYSCORE', 'LIMIT', 0, tonumber(ARGV[1]))) do
  if redis.call('EXISTS', 'name-sets:' .. name) == 0 then
    redis.call('ZREM', 'names-due', name)
  else
    redis.call('ZADD', 'names-due', now + tonumber(ARGV[2]), name)
    reply[#reply + 1] = {'', add_zones_above({'name', name, 'customer', ''}, name, '')}
  end
end
return reply
