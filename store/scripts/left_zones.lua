-- Zones that were left long ago, moved away or deleted, and have certificates: whether it is so is judged by whoever asks, who
-- makes a job for each (create_bulk). A zone that came back meanwhile has left the index. What is only inferred to have moved,
-- and others may have brought that about, loses no certificate before a server shows it.
-- keys: zones-left, zone:<id>, zone-certificates:<id>, bulk:<id>
-- arguments: seconds since a zone was left, how many to pass over, limit
-- result: ok, how many were looked at, {zone, since, id of its job} ...
-- uses: zone
local hold, skip, limit = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local now = now_parts()
local reply = {'ok', 0}
local found = redis.call('ZRANGE', 'zones-left', '-inf', now - hold, 'BYSCORE', 'LIMIT', skip, limit, 'WITHSCORES')
for i = 1, #found, 2 do
  local zone = found[i]
  local state = redis.call('HMGET', 'zone:' .. zone, 'status', 'inferred')
  -- The same job, should it be made again by a Redis that went back: what it revoked is not revoked twice.
  local id = string.sub(redis.sha1hex('left:' .. zone .. ':' .. found[i + 1]), 1, 32)
  if state[1] == 'moved' and state[2] then
    redis.call('ZADD', 'zones-left', now, zone)
  elseif state[1] == 'active' or redis.call('ZCARD', 'zone-certificates:' .. zone) == 0 or
      redis.call('EXISTS', 'bulk:' .. id) == 1 then
    redis.call('ZREM', 'zones-left', zone)
  else
    reply[#reply + 1] = {zone, found[i + 1], id}
  end
end
reply[2] = #found / 2
return reply
