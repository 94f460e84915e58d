-- Loads an API key. Where it is unknown, a Redis that was emptied says so: nobody's key has ended by that.
-- keys: api-key:<id>, ledger-hosts
-- arguments: id
-- result: ok, id, fields | notfound | unavailable
-- uses: common
local key, flat = load_hash('api-key:' .. ARGV[1])
if key then return {'ok', ARGV[1], flat} end
if redis.call('EXISTS', 'ledger-hosts') == 0 then return {'unavailable', 'Redis is empty'} end
return {'notfound', 'no such API key'}
