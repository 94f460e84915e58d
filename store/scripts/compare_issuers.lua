-- Does each issuer of this host have the key and the subject that the certificates here have under its name? The first host
-- that issues with a name says whose it is.
-- keys: ledger-issuers
-- arguments: bind ('1' or '0'), then issuer, digest of its key and subject ...
-- result: ok, how many are not known yet | conflict (another is known under the name)
local unknown = 0
for i = 2, #ARGV, 2 do
  if ARGV[1] == '1' then redis.call('HSETNX', 'ledger-issuers', ARGV[i], ARGV[i + 1]) end
  local known = redis.call('HGET', 'ledger-issuers', ARGV[i])
  if not known then
    unknown = unknown + 1
  elseif known ~= ARGV[i + 1] then
    return {'conflict', ARGV[i]}
  end
end
return {'ok', unknown}
