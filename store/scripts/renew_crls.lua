-- Lists that are not there, that cannot be used, or that should have been made anew long ago, whatever Redis says of when they are
-- due and who makes them; and those that have changed since they were made, where crls-due has them far ahead (a clock went back) or
-- not at all.
-- keys: crl-lists, crl:<id>, crls-due
-- arguments: delay in ms, lease in ms, then issuer, url ...
-- result: ok
-- uses: crl
local delay, lease = tonumber(ARGV[1]), tonumber(ARGV[2])
local _, micros = now_parts()
local now_ms = math.floor(micros / 1000)
local function make_due(id)
  local score = redis.call('ZSCORE', 'crls-due', id)
  if not score or tonumber(score) > now_ms + lease then
    redis.call('ZADD', 'crls-due', string.format('%.0f', now_ms - delay), id)
  end
end
for i = 3, #ARGV, 2 do make_due(find_crl(ARGV[i], ARGV[i + 1])) end
local lists = redis.call('HGETALL', 'crl-lists')
for i = 2, #lists, 2 do
  local count = redis.pcall('HMGET', 'crl:' .. lists[i], 'changes', 'listed_changes', 'number')
  if not count.err and count[3] and crl_count(count[1]) ~= crl_count(count[2]) then make_due(lists[i]) end
end
return {'ok'}
