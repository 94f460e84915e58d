-- An answer was signed: may it be given out, that is, does all of it still hold?
-- keys: certificate:<serial>
-- arguments: {serial, state} ...
-- result: ok | conflict
-- uses: ocsp
for i = 1, #ARGV, 2 do
  local _, state = ocsp_state(ARGV[i])
  if state ~= ARGV[i + 1] then return {'conflict', 'the certificate is ' .. state .. ' by now'} end
end
return {'ok'}
