-- Why a list could not be made, until it is made: for whoever looks at any host.
-- keys: crl:<id>
-- arguments: id, host, reason
-- result: ok
-- uses:
if redis.call('EXISTS', 'crl:' .. ARGV[1]) == 1 then
  redis.call('HSET', 'crl:' .. ARGV[1], 'problem', ARGV[3], 'problem_host', ARGV[2])
end
return {'ok'}
