-- The list that waits longest to be made anew, for the caller alone while the lease lasts. None while a revocation is not sorted.
-- keys: crls-due, crl:<id>, crl-unsorted, crl-entries:<id>
-- arguments: delay in ms (so long a list waits for further changes), lease in ms, host, 1 where complete lists are made
-- result: ok, serials to be sorted {...}, then of a list that is due: id, issuer, url, its last number, now in µs, run of
--   Redis, number of entries
-- uses: common, run
local delay, lease, host = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local _, micros = now_parts()
local now_ms = math.floor(micros / 1000)
local unsorted = redis.call('SRANDMEMBER', 'crl-unsorted', 100)
if #unsorted > 0 then return {'ok', unsorted} end
for _, id in ipairs(redis.call('ZRANGE', 'crls-due', '-inf', now_ms - delay, 'BYSCORE', 'LIMIT', 0, 20)) do
  local list = redis.call('HMGET', 'crl:' .. id, 'issuer', 'url', 'number', 'claimed')
  if not list[2] or (list[2] == '' and ARGV[4] == '0') then
    redis.call('ZREM', 'crls-due', id)
  elseif not list[4] or tonumber(list[4]) < now_ms then
    -- Behind all others until the lease ends: one that cannot be made never keeps the rest waiting.
    redis.call('ZADD', 'crls-due', string.format('%.0f', now_ms + lease - delay), id)
    redis.call('HSET', 'crl:' .. id, 'claimed', string.format('%.0f', now_ms + lease), 'claimed_by', host)
    return {'ok', {}, id, list[1], list[2], list[3] or '0', string.format('%.0f', micros), run_of_redis(),
            redis.call('ZCARD', 'crl-entries:' .. id)}
  end
end
return {'ok', {}}
