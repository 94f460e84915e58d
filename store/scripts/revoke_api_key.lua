-- Ends an API key, once and for ever; what is left of it is for the list.
-- keys: api-key:<id>, ledger:<host>
-- arguments: id, customer, the right (lib/right.lua)
-- result: ok | notfound
-- uses: common, ending
local right = take_right(3)
if redis.call('HGET', 'api-key:' .. ARGV[1], 'customer') ~= ARGV[2] then
  return {'notfound', 'the customer has no API key of this id'}
end
end_api_key(ARGV[1], right.at)
return {'ok'}
