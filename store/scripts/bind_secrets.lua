-- Keeps what tells the secrets apart that the data here rest on: those of the first server, or of one that an operator wants.
-- keys: ledger-secrets
-- arguments: check of secret_file, of operator_secret_file or '', replace ('1' or '0')
-- result: ok
local names = {'secret_file', 'operator_secret_file'}
for i, name in ipairs(names) do
  if ARGV[i] ~= '' then redis.call(ARGV[3] == '1' and 'HSET' or 'HSETNX', 'ledger-secrets', name, ARGV[i]) end
end
return {'ok'}
