-- What OCSP says of certificates.
-- keys: certificate:<serial>, ledger:<host>
-- arguments: host, serial ...
-- result: ok, records of the host's ledger that are applied, {issuer, state} ...
-- uses: ocsp
local host, found = ARGV[1], {}
for i = 2, #ARGV do
  local issuer, state = ocsp_state(ARGV[i])
  found[#found + 1] = {issuer, state}
end
return {'ok', redis.call('HGET', 'ledger:' .. host, 'applied') or '0', unpack(found)}
