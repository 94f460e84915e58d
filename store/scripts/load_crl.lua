-- A published list, and what is said of it at the same moment.
-- keys: crl:<id>, crl-der:<id>
-- arguments: id
-- result: ok, its number, DER | notfound
-- uses: crl
local der = redis.pcall('GET', 'crl-der:' .. ARGV[1])
if not der or (type(der) == 'table' and der.err) then return {'notfound', 'there is no such revocation list'} end
local number = redis.pcall('HGET', 'crl:' .. ARGV[1], 'number')
if type(number) == 'table' then return {'notfound', 'there is no such revocation list'} end
return {'ok', string.format('%.0f', crl_count(number)), der}
