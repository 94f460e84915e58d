-- One page of how far a mass replacement is. Replaced is a certificate whose order named it (RFC 9773 5), or where a newer
-- valid one has the same names: clients that know nothing of `replaces` renew too.
-- keys: replacement:<id>, and as count_selected
-- arguments: id, cursor or '', 1 to show those that wait, limit of these
-- result: ok, next cursor, replaced, ended, waiting, {serial, {fields}} ... | notfound (also: the list)
-- uses: page, selection
local id, cursor, shows, limit = ARGV[1], ARGV[2], ARGV[3] == '1', tonumber(ARGV[4])
local known = load_hash('replacement:' .. id)
if not known then return {'notfound', 'no such replacement'} end
local NEWER_MAX = 5000
local selection, made, now = selection_of(known), tonumber(known.created), now_parts()
local problem = list_problem(selection)
if problem then return {'notfound', problem} end

local function same_names(names)
  local list = {}
  for name in string.gmatch(names, '%S+') do list[#list + 1] = name end
  table.sort(list)
  return table.concat(list, ' ')
end

-- The names that newer valid certificates of the zone have; its index is by time of issue, which a certificate may have a
-- while before it becomes known.
local COMMIT_DELAY_MAX = 600
local newer = {}
local function newer_names(zone)
  if newer[zone] then return newer[zone] end
  local found = {}
  local least = string.format('%.0f', (made - COMMIT_DELAY_MAX) * 1000000)
  for _, serial in ipairs(redis.call('ZRANGE', 'zone-certificates:' .. zone, '+inf', least, 'BYSCORE', 'REV', 'LIMIT', 0,
                                     NEWER_MAX)) do
    local other = load_selected(serial)
    if other and is_valid_now(other, now) and not was_there(selection, other, made) then found[same_names(other.names)] = true end
  end
  newer[zone] = found
  return found
end

local function is_replaced(certificate)
  local zone = string.match(certificate.zones or '', '%S+')
  return certificate.replaced_by or (zone and newer_names(zone)[same_names(certificate.names)])
end

local reply, replaced, ended, waiting = {'ok', '', 0, 0, 0}, 0, 0, 0
reply[2] = walk_selected(selection, cursor, shows and limit or PAGE_BUDGET, function(serial, certificate)
  local was_valid = tonumber(certificate.not_after or '0') > made and
    (certificate.status == 'valid' or (certificate.status == 'revoked' and tonumber(certificate.revoked or '0') >= made))
  if not was_valid or not selects(selection, serial, certificate, made) then return false end
  if is_replaced(certificate) then
    replaced = replaced + 1
    return false
  elseif not is_valid_now(certificate, now) then
    ended = ended + 1
    return false
  end
  waiting = waiting + 1
  if shows then
    reply[#reply + 1] = {serial, {'names', certificate.names, 'customer', certificate.customer or '', 'account',
                                  certificate.account or '', 'issuer', certificate.issuer, 'not_after', certificate.not_after}}
  end
  return true
end)
reply[3], reply[4], reply[5] = replaced, ended, waiting
return reply
