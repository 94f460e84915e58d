-- Some entries of a list that have waited for a proof since this ms or longer.
-- keys: crl-entries:<id>, crl-unproven
-- arguments: id, cursor ('0' to begin), about how many, ms
-- result: ok, next cursor ('0': that was all), {serial:revoked_at:reason, ...}
-- uses:
local found = redis.call('ZSCAN', 'crl-entries:' .. ARGV[1], ARGV[2], 'COUNT', ARGV[3])
local members, until_ms = {}, tonumber(ARGV[4])
for i = 1, #found[2], 2 do
  local since = redis.pcall('ZSCORE', 'crl-unproven', string.lower(string.sub(found[2][i], 1, 32)))
  if type(since) == 'string' and tonumber(since) <= until_ms then members[#members + 1] = found[2][i] end
end
return {'ok', found[1], members}
