-- An answer was signed: may it be given out, that is, does all of it still hold? Kept where it is about a single certificate.
-- keys: certificate:<serial>, ocsp:<serial>:<form>
-- arguments: form of the CertID or '' (not kept), seconds that it is kept, thisUpdate, nextUpdate, DER, {serial, state} ...
-- result: ok | conflict
-- uses: ocsp
local form, seconds, this_update, next_update, der = unpack(ARGV, 1, 5)
for i = 6, #ARGV, 2 do
  local _, state = ocsp_state(ARGV[i])
  if state ~= ARGV[i + 1] then return {'conflict', 'the certificate is ' .. state .. ' by now'} end
end
if form ~= '' then
  redis.call('SET', ocsp_key(ARGV[6], form), table.concat({ARGV[7], this_update, next_update, der}, ' '), 'EX', seconds)
end
return {'ok'}
