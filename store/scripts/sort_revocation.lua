-- The list of a revoked certificate that came here without its name: who calls has read it in the certificate.
-- keys: certificate:<serial>, crl-unsorted, crl-lists, crl:<id>, crl-entries:<id>, crls-due
-- arguments: serial, url or ''
-- result: ok
-- uses: crl
local serial, url = ARGV[1], ARGV[2]
local now, micros = now_parts()
local certificate = redis.call('HMGET', 'certificate:' .. serial, 'issuer', 'entry', 'not_after', 'revoked',
                                'reason')
if certificate[1] and certificate[2] then
  local revoked_at, reason = string.match(certificate[2], ':(%d+):(%d+)$')
  if not revoked_at then revoked_at, reason = certificate[4], certificate[5] or '0' end
  if url == '' then redis.call('HSET', 'certificate:' .. serial, 'crl', find_crl(certificate[1], '')) end
  put_crl_entry(serial, certificate[1], url, revoked_at, reason, certificate[3], micros)
end
redis.call('SREM', 'crl-unsorted', serial)
return {'ok'}
