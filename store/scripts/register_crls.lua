-- Lists that certificates will name from now on: also an empty one must be there before the first of them is checked.
-- keys: crl-lists, crl:<id>, crls-due
-- arguments: issuer, url ...
-- result: ok
-- uses: crl
for i = 1, #ARGV, 2 do
  redis.call('ZADD', 'crls-due', 'NX', 0, find_crl(ARGV[i], ''))
  if ARGV[i + 1] ~= '' then find_crl(ARGV[i], ARGV[i + 1]) end
end
return {'ok'}
