-- A numbered page of the certificates of a zone, newest first; intents that never became certificates are not counted.
-- keys: zone-certificates:<zone>, certificates:void, certificate:<serial>
-- arguments: zone id, offset, limit
-- result: ok, total, {serial, fields} ...
-- uses: common
local index, offset, limit = 'zone-certificates:' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local LOOKED_MAX = 20000
local total = redis.call('ZCARD', index)
local void = redis.call('ZINTERCARD', 2, index, 'certificates:void')
local serials
if void == 0 then
  serials = redis.call('ZRANGE', index, offset, offset + limit - 1, 'REV')
else
  -- Rare: such intents lie between the certificates, so pages are counted out one by one.
  serials = {}
  local at, kept = 0, 0
  while #serials < limit and at < total and at < LOOKED_MAX do
    for _, serial in ipairs(redis.call('ZRANGE', index, at, at + 499, 'REV')) do
      if redis.call('HGET', 'certificate:' .. serial, 'status') ~= 'void' then
        kept = kept + 1
        if kept > offset and #serials < limit then serials[#serials + 1] = serial end
      end
    end
    at = at + 500
  end
end
local reply = {'ok', total - void}
for _, serial in ipairs(serials) do
  local map, flat = load_hash('certificate:' .. serial)
  if map then reply[#reply + 1] = {serial, flat} end
end
return reply
