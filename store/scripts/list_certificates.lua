-- A page of certificates, newest first; with nothing but expires_before, those that end last first.
-- keys: certificates, certificates-by-expiry, certificates:revoked, certificates:void, customer-certificates:<customer>,
--   zone-certificates:<zone>, certificate:<serial>
-- arguments: zone id or '', customer or '', status or '', expires_before or 0, cursor or '', limit
-- result: ok, next cursor, {serial, fields} ...
-- uses: page
local zone, customer, status, before = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local now = now_parts()
local index, top = 'certificates', '+inf'
if zone ~= '' then index = 'zone-certificates:' .. zone
elseif customer ~= '' then index = 'customer-certificates:' .. customer
elseif status == 'revoked' or status == 'void' then index = 'certificates:' .. status
elseif before > 0 or status == 'expired' then
  index = 'certificates-by-expiry'
  top = '(' .. ARGV[4]
  if status == 'expired' and (before == 0 or before > now) then top = '(' .. now end
end
return object_page('certificate:', index, ARGV[5], tonumber(ARGV[6]), top, function(certificate)
  if not certificate.order and not certificate.der then return false end
  local not_after = tonumber(certificate.not_after or '0')
  local is_now = certificate.status
  if is_now == 'valid' and not_after < now then is_now = 'expired' end
  return (status == '' or is_now == status) and (customer == '' or certificate.customer == customer) and
    (before == 0 or not_after < before)
end)
