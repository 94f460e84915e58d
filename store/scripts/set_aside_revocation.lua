-- A revoked serial whose list cannot be read now: it is looked at again later.
-- keys: crl-unsorted, crl-unreadable
-- arguments: serial
-- result: ok
-- uses: crl
local _, micros = now_parts()
redis.call('SREM', 'crl-unsorted', ARGV[1])
set_aside_serial(ARGV[1], math.floor(micros / 1000))
return {'ok'}
