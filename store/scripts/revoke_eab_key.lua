-- Marks a binding key revoked, once and for ever.
-- keys: eab:<kid>, ledger:<host>
-- arguments: kid, customer, the right (lib/right.lua)
-- result: ok | notfound
-- uses: common, ending
local right = take_right(3)
if redis.call('HGET', 'eab:' .. ARGV[1], 'customer') ~= ARGV[2] then
  return {'notfound', 'the customer has no binding key of this id'}
end
end_eab_key(ARGV[1], right.at)
return {'ok'}
