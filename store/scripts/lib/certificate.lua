-- Certificates: writing one with all its indexes, and removing it with them.
-- uses: common, edge, crl

-- In which order certificates came to be known here, whatever the hosts' clocks say: what an operator has counted are those
-- below a number of it (lib/selection.lua, cut_off).
local function number_certificate(key)
  if redis.call('HEXISTS', key, 'recorded') == 1 then return end
  local number = string.format('%.0f', tonumber(redis.call('GET', 'certificates-recorded') or '0') + 1)
  redis.call('SET', 'certificates-recorded', number)
  redis.call('HSET', key, 'recorded', number)
end

-- `fields` is the table of the new hash; status is 'valid' or 'void'. What is revoked stays revoked, with its time and
-- reason: nothing here can undo that.
local function record_certificate(serial, fields, ends, micros)
  local key = 'certificate:' .. serial
  local status = redis.call('HGET', key, 'status')
  if status == 'revoked' then
    fields.status = 'revoked'
    -- Which list it is on was the word of who revoked it, before it was known itself.
    if fields.crl == '' then redis.call('HDEL', key, 'crl') end
  end
  local list = {}
  for name, value in pairs(fields) do
    if value ~= '' then
      list[#list + 1] = name
      list[#list + 1] = value
    end
  end
  redis.call('HSET', key, unpack(list))
  number_certificate(key)
  expire_at(key, ends)
  local not_after = tonumber(fields.not_after)
  local score = tonumber(fields.issued) * 1000000 + micros % 1000000
  redis.call('ZADD', 'certificates', score, serial)
  redis.call('ZADD', 'certificates-by-expiry', not_after, serial)
  note_issuer_end(fields.issuer, not_after)
  if fields.customer ~= '' then redis.call('ZADD', 'customer-certificates:' .. fields.customer, score, serial) end
  for zone in string.gmatch(fields.zones, '%S+') do
    redis.call('ZADD', 'zone-certificates:' .. zone, score, serial)
  end
  if fields.spki ~= '' then
    local by_key = 'key-certificates:' .. fields.spki
    redis.call('ZADD', by_key, not_after, serial)
    if redis.call('EXPIREAT', by_key, ends + SWEEP_GRACE, 'NX') == 0 then
      redis.call('EXPIREAT', by_key, ends + SWEEP_GRACE, 'GT')
    end
  end
  if fields.status == 'void' then
    redis.call('ZADD', 'certificates:void', score, serial)
    put_crl_entry(serial, fields.issuer, '', fields.not_before, '0', not_after, micros)
  elseif fields.status == 'revoked' then
    -- Known as revoked before it was known itself: now its list is known, and when it ends.
    local known = redis.call('HMGET', key, 'revoked', 'reason')
    put_crl_entry(serial, fields.issuer, '', known[1], known[2], not_after, micros)
  end
  if fields.status == 'valid' and status ~= 'valid' then
    redis.call('ZREM', 'certificates:void', serial)
    add_edge_event(micros, 'event', 'issued', 'serial', serial, 'issuer', fields.issuer, 'not_after', not_after)
  end
end

local function forget_certificate(serial)
  local key = 'certificate:' .. serial
  local certificate = redis.call('HMGET', key, 'customer', 'zones', 'spki')
  for _, index in ipairs({'certificates', 'certificates-by-expiry', 'certificates:revoked', 'certificates:void'}) do
    redis.call('ZREM', index, serial)
  end
  redis.call('ZREM', 'customer-certificates:' .. (certificate[1] or ''), serial)
  for zone in string.gmatch(certificate[2] or '', '%S+') do redis.call('ZREM', 'zone-certificates:' .. zone, serial) end
  redis.call('ZREM', 'key-certificates:' .. (certificate[3] or ''), serial)
  redis.call('DEL', key)
end
