-- What OCSP says of certificates, and the answer that is kept of one of them, if it still says so.
-- keys: certificate:<serial>, ocsp:<serial>:<form>, ledger:<host>
-- arguments: host, form of the CertID (of a single certificate whose kept answer would do) or '', serial ...
-- result: ok, records of the host's ledger that are applied, thisUpdate, nextUpdate, DER of the kept answer ('' where there is
--   none), {issuer, state} ...
-- uses: ocsp
local host, form = ARGV[1], ARGV[2]
local found, state = {}
for i = 3, #ARGV do
  local issuer
  issuer, state = ocsp_state(ARGV[i])
  found[#found + 1] = {issuer, state}
end
local kept = form ~= '' and state ~= '' and redis.call('GET', ocsp_key(ARGV[3], form))
local of, this_update, next_update, der
if kept then of, this_update, next_update, der = string.match(kept, '^(%S+) (%d+) (%d+) (.*)$') end
if of ~= state then this_update, next_update, der = '0', '0', '' end
return {'ok', redis.call('HGET', 'ledger:' .. host, 'applied') or '0', this_update, next_update, der, unpack(found)}
