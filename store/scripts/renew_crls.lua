-- Lists that are not there, that cannot be used, or that should have been made anew long ago, whatever Redis says of when they are
-- due and who makes them.
-- keys: crl-lists, crl:<id>, crls-due
-- arguments: delay in ms, lease in ms, then issuer, url ...
-- result: ok
-- uses: crl
local delay, lease = tonumber(ARGV[1]), tonumber(ARGV[2])
local _, micros = now_parts()
local now_ms = math.floor(micros / 1000)
for i = 3, #ARGV, 2 do
  local id = find_crl(ARGV[i], ARGV[i + 1])
  local score = redis.call('ZSCORE', 'crls-due', id)
  if not score or tonumber(score) > now_ms + lease then
    redis.call('ZADD', 'crls-due', string.format('%.0f', now_ms - delay), id)
  end
end
return {'ok'}
