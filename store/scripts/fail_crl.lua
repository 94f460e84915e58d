-- Why a list could not be made, until it is made: for whoever looks at any host.
-- keys: crl:<id>
-- arguments: id, host, reason
-- result: ok
-- uses: common
if redis.call('EXISTS', 'crl:' .. ARGV[1]) == 1 then
  local _, micros = now_parts()
  redis.call('HSET', 'crl:' .. ARGV[1], 'problem', ARGV[3], 'problem_host', ARGV[2], 'problem_ms', string.format('%.0f', micros / 1000))
end
return {'ok'}
