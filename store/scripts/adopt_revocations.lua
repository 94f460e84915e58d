-- What was revoked, or void, before there were lists: a page of it goes on them.
-- keys: crls-adopted, certificates:revoked, certificates:void, certificate:<serial>, crl-lists, crl:<id>, crl-entries:<id>,
--   crls-due, crl-unsorted
-- arguments: how many to look at
-- result: ok, 1 where there is nothing more to do
-- uses: crl
local state = redis.call('GET', 'crls-adopted') or 'revoked:0'
if state == 'all' then return {'ok', 1} end
local limit, now, micros = tonumber(ARGV[1]), now_parts()
local index, at = string.match(state, '^(%a+):(%d+)$')
local page = redis.call('ZRANGE', 'certificates:' .. index, at, at + limit - 1)
for _, serial in ipairs(page) do
  local c = redis.call('HMGET', 'certificate:' .. serial, 'issuer', 'revoked', 'reason', 'not_after', 'not_before', 'entry')
  local revoked_at, not_after = c[2] or c[5], c[4]
  if c[1] and revoked_at and not_after and not c[6] and tonumber(not_after) > now then
    put_crl_entry(serial, c[1], '', revoked_at, c[3] or '0', not_after, micros)
  end
end
if #page == limit then
  state = index .. ':' .. string.format('%d', at + limit)
else
  state = index == 'revoked' and 'void:0' or 'all'
end
redis.call('SET', 'crls-adopted', state)
return {'ok', state == 'all' and 1 or 0}
