-- Serials that no ledger has revoked and that are on no list any more. A certificate that Redis says is revoked is valid again,
-- where it is here whole; of one that is not there is nothing to be put back, and it stays as it is.
-- keys: crl-unproven, certificate:<serial>, certificates:revoked
-- arguments: ms as of find_unproven, serials ...
-- result: ok, how many certificates are valid again, how many stay revoked
-- uses:
local until_ms, restored, kept = tonumber(ARGV[1]), 0, 0
for i = 2, #ARGV do
  local serial, key = ARGV[i], 'certificate:' .. ARGV[i]
  local since = redis.call('ZSCORE', 'crl-unproven', serial)
  if since and tonumber(since) <= until_ms then
    redis.call('ZREM', 'crl-unproven', serial)
    local c = redis.pcall('HMGET', key, 'status', 'der', 'order')
    if not c.err and c[1] == 'revoked' and c[2] and c[3] then
      redis.call('HSET', key, 'status', 'valid')
      redis.call('HDEL', key, 'revoked', 'reason', 'by', 'told', 'blocks')
      redis.pcall('ZREM', 'certificates:revoked', serial)
      restored = restored + 1
    elseif not c.err and c[1] == 'revoked' then
      kept = kept + 1
    end
    if not c.err and c[1] ~= 'void' then redis.call('HDEL', key, 'entry', 'listed_ms') end
  end
end
return {'ok', restored, kept}
