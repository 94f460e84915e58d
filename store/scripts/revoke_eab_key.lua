-- Marks a binding key revoked, once and for ever.
-- keys: eab:<kid>
-- arguments: kid, customer
-- result: ok | notfound
-- uses: common
if redis.call('HGET', 'eab:' .. ARGV[1], 'customer') ~= ARGV[2] then
  return {'notfound', 'the customer has no binding key of this id'}
end
redis.call('HSETNX', 'eab:' .. ARGV[1], 'revoked', (now_parts()))
return {'ok'}
