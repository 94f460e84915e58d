-- Takes entries off a list that no ledger has; one that somebody has put there anew meanwhile waits anew, and stays.
-- keys: crl-entries:<id>, crl-replaced:<id>, crl-unproven, crl:<id>, crls-due
-- arguments: id, ms as of find_unproven, serial:revoked_at:reason ...
-- result: ok, how many
-- uses: crl
local id, until_ms, count = ARGV[1], tonumber(ARGV[2]), 0
local _, micros = now_parts()
for i = 3, #ARGV do
  local since = redis.call('ZSCORE', 'crl-unproven', string.lower(string.sub(ARGV[i], 1, 32)))
  if since and tonumber(since) <= until_ms then
    count = count + redis.call('ZREM', 'crl-entries:' .. id, ARGV[i])
    redis.pcall('ZREM', 'crl-replaced:' .. id, ARGV[i])
  end
end
if count > 0 then touch_crl(id, micros) end
return {'ok', count}
