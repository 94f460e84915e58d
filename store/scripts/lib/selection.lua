-- Which certificates an operator means (include/originca/store_bulk.h, struct store_selection): all that is given must fit.
-- uses: common
local SELECTION = {'customer', 'zone', 'account', 'issuer', 'profile', 'key', 'issued_since', 'issued_before', 'serials'}
local SELECTED_FIELDS = {'status', 'not_after', 'issued', 'customer', 'account', 'zones', 'issuer', 'profile', 'spki', 'names',
                         'by', 'revoked', 'replaced_by'}

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

-- Is the certificate one of them, whatever became of it since? `made` is when the selection was made.
local function selects(selection, serial, certificate, made)
  local function fits(name, value) return selection[name] == '' or selection[name] == value end
  local issued = tonumber(certificate.issued or '0')
  local since, before = tonumber(selection.issued_since) or 0, tonumber(selection.issued_before) or 0
  return certificate.names and issued <= made and issued >= since and (before == 0 or issued < before) and
    fits('customer', certificate.customer) and fits('account', certificate.account) and
    fits('issuer', certificate.issuer) and fits('profile', certificate.profile) and fits('key', certificate.spki) and
    (selection.zone == '' or string.find(' ' .. (certificate.zones or '') .. ' ', ' ' .. selection.zone .. ' ', 1, true)) and
    (selection.serials == '' or redis.call('ZSCORE', 'bulk-serials:' .. selection.serials, serial))
end

local function is_valid_now(certificate, now)
  return certificate.status == 'valid' and tonumber(certificate.not_after or '0') > now
end

-- A list of serials that a job or replacement uses lives as long as that.
local SERIALS_GRACE = 31 * 86400
local function keep_serials(selection, ends)
  if selection.serials ~= '' then
    redis.call('EXPIREAT', 'bulk-serials:' .. selection.serials, string.format('%.0f', ends + SERIALS_GRACE))
  end
end
