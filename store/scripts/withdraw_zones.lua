-- By policy: of zones that were left long ago, moved away or deleted, the certificates are revoked. A job for each (create_bulk),
-- which revokes what is valid in it; a zone that came back meanwhile has left the index. What is only inferred to have moved, and
-- others may have brought that about, loses no certificate before a server shows it.
-- keys: zones-left, zone:<id>, zone-certificates:<id>, certificates-recorded, bulk:<id>, bulk-jobs, bulk-open
-- arguments: seconds since a zone was left, reason, rate, limit
-- result: ok, number of jobs
-- uses: zone, selection
local hold, reason, rate = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local now, micros = now_parts()
local made = 0
local found = redis.call('ZRANGE', 'zones-left', '-inf', now - hold, 'BYSCORE', 'LIMIT', 0, ARGV[4], 'WITHSCORES')
for i = 1, #found, 2 do
  local zone = found[i]
  local state = redis.call('HMGET', 'zone:' .. zone, 'status', 'inferred')
  local is_inferred = state[1] == 'moved' and state[2]
  local total = redis.call('ZCARD', 'zone-certificates:' .. zone)
  -- The same job, should it be made again by a Redis that went back: what it revoked is not revoked twice.
  local id = string.sub(redis.sha1hex('left:' .. zone .. ':' .. found[i + 1]), 1, 32)
  if total > 0 and not is_inferred and redis.call('EXISTS', 'bulk:' .. id) == 0 then
    redis.call('HSET', 'bulk:' .. id, 'zone', zone, 'state', 'running', 'reason', reason, 'rate', rate, 'by',
               'admin:policy zone-left bulk:' .. id, 'total', total, 'created', now, 'cut_off', string.format('%.0f', next_cut_off()))
    local score = string.format('%.0f', micros + i)
    redis.call('ZADD', 'bulk-jobs', score, id)
    redis.call('ZADD', 'bulk-open', score, id)
    made = made + 1
  end
  if is_inferred then
    redis.call('ZADD', 'zones-left', now, zone)
  else
    redis.call('ZREM', 'zones-left', zone)
  end
end
return {'ok', made}
