-- The list that waits longest to be made anew, for the caller alone while the lease lasts. None while a revocation is not sorted.
-- keys: crls-due, crl:<id>, crl-unsorted
-- arguments: delay in ms (so long a list waits for further changes), lease in ms, host, 1 where complete lists are made
-- result: ok, serials to be sorted {...}, then of a list that is due: id, issuer, url, its last number, now in µs, run of
--   Redis, its floor (lib/crl.lua)
-- uses: crl, run
local delay, lease, host = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local _, micros = now_parts()
local now_ms = math.floor(micros / 1000)
local unsorted = redis.call('SRANDMEMBER', 'crl-unsorted', 100)
if #unsorted > 0 then return {'ok', unsorted} end
for _, id in ipairs(redis.call('ZRANGE', 'crls-due', '-inf', now_ms - delay, 'BYSCORE', 'LIMIT', 0, 20)) do
  local list = redis.pcall('HMGET', 'crl:' .. id, 'issuer', 'url', 'number', 'claimed', 'floor')
  local claimed = crl_count(list[4])
  if list.err or not list[1] or not list[2] or (list[2] == '' and ARGV[4] == '0') then
    redis.call('ZREM', 'crls-due', id)
  elseif claimed < now_ms or claimed > now_ms + 2 * lease then -- nobody claims for so long
    -- Behind all others until the lease ends: one that cannot be made never keeps the rest waiting.
    redis.call('ZADD', 'crls-due', string.format('%.0f', now_ms + lease - delay), id)
    redis.call('HSET', 'crl:' .. id, 'claimed', string.format('%.0f', now_ms + lease), 'claimed_by', host)
    return {'ok', {}, id, list[1], list[2], string.format('%.0f', crl_count(list[3])), string.format('%.0f', micros),
            run_of_redis(), string.format('%.0f', crl_count(list[5]))}
  else
    redis.call('ZADD', 'crls-due', string.format('%.0f', claimed - delay), id) -- many of these hide no other
  end
end
return {'ok', {}}
