-- Counts for an overview. Nothing is counted one by one.
-- keys: the indexes
-- arguments: none
-- result: ok, customers, zones, zones by status (5), accounts, orders, orders by status (6), certificates, revoked,
--   expiring within 7 days, memory of Redis in bytes, edge sequence
-- uses: common
local now = now_parts()
local reply = {'ok', redis.call('ZCARD', 'customers'), redis.call('ZCARD', 'zones')}
for _, status in ipairs({'pending', 'active', 'moved', 'paused', 'deleted'}) do
  reply[#reply + 1] = redis.call('ZCARD', 'zones:' .. status)
end
reply[#reply + 1] = redis.call('ZCARD', 'accounts')
reply[#reply + 1] = redis.call('ZCARD', 'orders')
for _, status in ipairs({'pending', 'ready', 'processing', 'valid', 'invalid', 'refused'}) do
  reply[#reply + 1] = redis.call('ZCARD', 'orders:' .. status)
end
reply[#reply + 1] = redis.call('ZCARD', 'certificates')
reply[#reply + 1] = redis.call('ZCARD', 'certificates:revoked')
reply[#reply + 1] = redis.call('ZCOUNT', 'certificates-by-expiry', now, now + 7 * 86400)
reply[#reply + 1] = string.match(redis.call('INFO', 'memory'), 'used_memory:(%d+)') or '0'
reply[#reply + 1] = redis.call('GET', 'edge-sequence') or '0'
return reply
