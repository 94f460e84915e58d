-- What the ledger proves was here: is it, with the indexes that lists and look-ups go by? A zone in zones-lost was gone when the
-- ledger was replayed: that is known.
-- keys: zone:<id>, zone-name:<name>, zones, zones-lost, customer-zones:<customer>, customer:<id>, account:<id>,
--   certificate:<serial>, certificates, customer-certificates:<customer>, order:<id>, api-key:<id>, eab:<kid>,
--   customer-api-keys:<customer>, customer-eab:<customer>, ledger-rights, ledger:<host>
-- arguments: host, then kind (of `here` below), id, name (of a zone; else the serial of the certificate that proves it, or ''),
--   customer ('' where it has none) of each
-- result: ok, 1 where the host was not told all of what other hosts ended, else 0, number of each that is not here
-- uses: common
local function is_indexed(kind, id, customer)
  return redis.call('ZSCORE', kind .. 's', id) and
    (customer == '' or redis.call('ZSCORE', 'customer-' .. kind .. 's:' .. customer, id))
end

local here = {}
function here.zone(id, name, customer)
  local status = redis.call('HGET', 'zone:' .. id, 'status')
  if status == 'deleted' or (not status and redis.call('ZSCORE', 'zones-lost', id)) then return true end
  return status and is_indexed('zone', id, customer) and redis.call('HGET', 'zone-name:' .. name, customer) == id and
    redis.call('EXISTS', 'customer:' .. customer) == 1
end
function here.certificate(serial, _, customer)
  return redis.call('EXISTS', 'certificate:' .. serial) == 1 and is_indexed('certificate', serial, customer)
end
function here.account(id)
  return redis.call('EXISTS', 'account:' .. id) == 1
end
function here.customer(id)
  return redis.call('EXISTS', 'customer:' .. id) == 1
end
function here.order(id)
  return redis.call('EXISTS', 'order:' .. id) == 1
end
-- A key that has ended stays, for the lists.
local function is_key_here(object, index, id)
  local customer = redis.call('HGET', object .. id, 'customer')
  return customer and redis.call('ZSCORE', index .. customer, id)
end
here['API key'] = function(id) return is_key_here('api-key:', 'customer-api-keys:', id) end
here['EAB key'] = function(kid) return is_key_here('eab:', 'customer-eab:', kid) end
-- Where the order or the account is gone too, that is told.
here['API key of order'] = function(order)
  local id = redis.call('HGET', 'order:' .. order, 'key')
  return not id or id == '' or here['API key'](id)
end
here['EAB key of account'] = function(account)
  local kid = redis.call('HGET', 'account:' .. account, 'eab')
  return not kid or kid == '' or here['EAB key'](kid)
end

-- A certificate that was signed while Redis went back, for what it had forgotten: it was revoked, and nobody has it.
local function is_of_nobody(kind, serial)
  return kind ~= 'zone' and serial ~= '' and redis.call('HGET', 'certificate:' .. serial, 'by') == 'recovery'
end

local seen = redis.call('HGET', 'ledger:' .. ARGV[1], 'rights_seen')
local untold = redis.call('XRANGE', 'ledger-rights', seen and '(' .. seen or '-', '+', 'COUNT', 1)
local reply = {'ok', #untold > 0 and 1 or 0}
for at = 2, #ARGV, 4 do
  local kind, id, name, customer = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  if not here[kind](id, name, customer) and not is_of_nobody(kind, name) then reply[#reply + 1] = (at - 2) / 4 end
end
if #reply == 2 then redis.call('HSET', 'ledger:' .. ARGV[1], 'looked', (now_parts())) end
return reply
