-- Which certificates an operator means (include/originca/store_bulk.h, struct store_selection): all that is given must fit.
-- uses: common, page
local SELECTION = {'customer', 'zone', 'account', 'issuer', 'profile', 'key', 'issued_since', 'issued_before', 'serials',
                   'cut_off'}
local SELECTED_FIELDS = {'status', 'not_after', 'issued', 'customer', 'account', 'zones', 'issuer', 'profile', 'spki', 'names',
                         'by', 'revoked', 'replaced_by', 'recorded'}

-- ARGV[first ...] as store/selection.c writes it; returns the selection and the index after it.
local function read_selection(first)
  local selection = {}
  for i, name in ipairs(SELECTION) do selection[name] = ARGV[first + i - 1] end
  return selection, first + #SELECTION
end

local function selection_fields(selection)
  local fields = {}
  for _, name in ipairs(SELECTION) do
    local value = selection[name]
    if value ~= '' and value ~= '0' then fields[#fields + 1] = name; fields[#fields + 1] = value end
  end
  return fields
end

-- Of a hash that selection_fields went into.
local function selection_of(map)
  local selection = {}
  for _, name in ipairs(SELECTION) do selection[name] = map[name] or '' end
  return selection
end

-- The shortest index that holds all of them.
local function selection_index(selection)
  if selection.serials ~= '' then return 'bulk-serials:' .. selection.serials end
  if selection.key ~= '' then return 'key-certificates:' .. selection.key end
  if selection.zone ~= '' then return 'zone-certificates:' .. selection.zone end
  local customer = selection.customer
  if customer == '' and selection.account ~= '' then
    customer = redis.call('HGET', 'account:' .. selection.account, 'customer') or ''
  end
  return customer ~= '' and 'customer-certificates:' .. customer or 'certificates'
end

local function load_selected(serial)
  local values = redis.call('HMGET', 'certificate:' .. serial, unpack(SELECTED_FIELDS))
  if not values[1] then return nil end
  local certificate = {}
  for i, name in ipairs(SELECTED_FIELDS) do certificate[name] = values[i] or nil end
  return certificate
end

-- walk_page over what the selection's index holds; take(serial, certificate).
local function walk_selected(selection, cursor, limit, take)
  return walk_page(selection_index(selection), cursor, limit, '+inf', function(serial)
    local certificate = load_selected(serial)
    if certificate then return take(serial, certificate) end
    -- A list is the operator's: what is not known here stays on it.
    if selection.serials ~= '' then return false end
    return nil
  end)
end

-- The number that the next certificate gets (lib/certificate.lua): a count that begins now holds those below it.
local function next_cut_off()
  return tonumber(redis.call('GET', 'certificates-recorded') or '0') + 1
end

-- nil, or why nothing can be told by that cut-off: it is none of this Redis, or of before it was started again or went back, when
-- other certificates may have had these numbers (lib/run.lua).
local function cut_off_problem(cut_off)
  local base = tonumber(redis.call('GET', 'certificates-recorded-base') or '0')
  if tonumber(cut_off) > next_cut_off() or tonumber(cut_off) <= base then
    return 'no count gave this cut_off, or Redis was started again or went back since: count again (a dry run gives the new one)'
  end
  return nil
end

-- Was the certificate there when the selection was counted? `made` counts for what was made before there were cut-offs.
local function was_there(selection, certificate, made)
  local cut_off = tonumber(selection.cut_off) or 0
  if cut_off == 0 then return tonumber(certificate.issued or '0') <= made end
  return tonumber(certificate.recorded or '0') < cut_off
end

-- Is the certificate one of them, whatever became of it since?
local function selects(selection, serial, certificate, made)
  local function fits(name, value) return selection[name] == '' or selection[name] == value end
  local issued = tonumber(certificate.issued or '0')
  local since, before = tonumber(selection.issued_since) or 0, tonumber(selection.issued_before) or 0
  return certificate.names and was_there(selection, certificate, made) and issued >= since and
    (before == 0 or issued < before) and fits('customer', certificate.customer) and fits('account', certificate.account) and
    fits('issuer', certificate.issuer) and fits('profile', certificate.profile) and fits('key', certificate.spki) and
    (selection.zone == '' or string.find(' ' .. (certificate.zones or '') .. ' ', ' ' .. selection.zone .. ' ', 1, true)) and
    (selection.serials == '' or redis.call('ZSCORE', 'bulk-serials:' .. selection.serials, serial))
end

local function is_valid_now(certificate, now)
  return certificate.status == 'valid' and tonumber(certificate.not_after or '0') > now
end

-- A list of serials, and what is known of it: `size`, `fixed` since it was counted first. Unused it goes after
-- an hour; used it stays as long as that.
local SERIALS_UNUSED, SERIALS_GRACE = 3600, 31 * 86400

-- nil, or why what the selection names cannot be told any more: a list that is gone selects nothing, which must not look like
-- work that is done.
local function list_problem(selection)
  if selection.serials == '' then return nil end
  local size = redis.call('HGET', 'bulk-list:' .. selection.serials, 'size')
  local has = redis.call('ZCARD', 'bulk-serials:' .. selection.serials)
  if has > 0 and (not size or tonumber(size) == has) then return nil end
  return 'the list of serials is not here any more; send it again'
end

local function list_lives_until(list, ends)
  for _, key in ipairs({'bulk-list:' .. list, 'bulk-serials:' .. list}) do
    redis.call('EXPIREAT', key, string.format('%.0f', ends), 'GT')
  end
end

-- What an operator has seen the number of does not grow afterwards.
local function fix_list(selection, now)
  if selection.serials == '' then return end
  redis.call('HSETNX', 'bulk-list:' .. selection.serials, 'fixed', now)
  list_lives_until(selection.serials, now + SERIALS_UNUSED)
end

local function use_list(selection, ends)
  if selection.serials == '' then return end
  list_lives_until(selection.serials, ends + SERIALS_GRACE)
end
