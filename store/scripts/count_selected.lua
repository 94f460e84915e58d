-- One page of counting the certificates that are selected and valid.
-- keys: as list_certificates; key-certificates:<spki>, account:<id>, bulk-serials:<id>
-- arguments: selection (lib/selection.lua), cursor or '', how many to show
-- result: ok, next cursor, count, latest not_after, {serial, {fields}} ...
-- uses: page, selection
local selection, at = read_selection(1)
local cursor, shows = ARGV[at], tonumber(ARGV[at + 1])
local now = now_parts()
local reply, count, last_end = {'ok', '', 0, 0}, 0, 0
reply[2] = walk_page(selection_index(selection), cursor, PAGE_BUDGET, '+inf', function(serial)
  local certificate = load_selected(serial)
  if not certificate then return nil end
  if not is_valid_now(certificate, now) or not selects(selection, serial, certificate, now) then return false end
  count = count + 1
  last_end = math.max(last_end, tonumber(certificate.not_after))
  if count <= shows then
    reply[#reply + 1] = {serial, {'names', certificate.names, 'customer', certificate.customer or '', 'issuer',
                                  certificate.issuer, 'not_after', certificate.not_after}}
  end
  return true
end)
reply[3], reply[4] = count, last_end
return reply
