-- What was revoked, or void, before there were lists: a page of it goes on them. So does what was not sorted where Redis lost
-- which serials these are. One that cannot be read is set aside (lib/crl.lua).
-- keys: crls-adopted, certificates:revoked, certificates:void, certificate:<serial>, crl-lists, crl:<id>, crl-entries:<id>,
--   crls-due, crl-unsorted, crl-unreadable
-- arguments: how many to look at
-- result: ok, 1 where there is nothing more to do
-- uses: crl
local state = redis.pcall('GET', 'crls-adopted')
if state == 'all' then return {'ok', 1} end
local limit, now, micros = tonumber(ARGV[1]), now_parts()
local index, at = string.match(type(state) == 'string' and state or '', '^(%a+):(%d+)$')
if index ~= 'revoked' and index ~= 'void' then index, at = 'revoked', '0' end
local page = redis.pcall('ZRANGE', 'certificates:' .. index, at, at + limit - 1)
if page.err then page = {} end
local function adopt(serial)
  local c = redis.call('HMGET', 'certificate:' .. serial, 'issuer', 'revoked', 'reason', 'not_after', 'not_before', 'entry', 'crl')
  local revoked_at, not_after = c[2] or c[5], c[4]
  if c[1] and revoked_at and not_after and not (c[6] and c[7]) and tonumber(not_after) > now then
    put_crl_entry(serial, c[1], '', revoked_at, c[3] or '0', not_after, micros)
  end
end
for _, serial in ipairs(page) do
  if not pcall(adopt, serial) then set_aside_serial(serial, math.floor(micros / 1000)) end
end
if #page == limit then
  state = index .. ':' .. string.format('%d', at + limit)
else
  state = index == 'revoked' and 'void:0' or 'all'
end
redis.call('SET', 'crls-adopted', state)
return {'ok', state == 'all' and 1 or 0}
