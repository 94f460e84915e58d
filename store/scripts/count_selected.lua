-- One page of counting the certificates that are selected and valid. The first page takes the cut-off where none is given:
-- what becomes known after that is not among them, here or in the job that is made of it.
-- keys: as list_certificates; key-certificates:<spki>, account:<id>, bulk-serials:<id>, bulk-list:<id>, certificates-recorded,
--   certificates-recorded-base
-- arguments: selection (lib/selection.lua), cursor or '', how many to show, 1 to have all serials
-- result: ok, next cursor, count, latest not_after, cut-off, serials (nothing between) or '', {serial, {fields}} ... | notfound
--   (the list) | conflict
-- uses: page, selection
local selection, at = read_selection(1)
local cursor, shows, wants_serials = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2] == '1'
local now = now_parts()
if selection.cut_off == '0' then selection.cut_off = string.format('%.0f', next_cut_off()) end
local problem = cut_off_problem(selection.cut_off)
if problem then return {'conflict', problem} end
problem = list_problem(selection)
if problem then return {'notfound', problem} end
fix_list(selection, now)
local reply, count, last_end, serials = {'ok', '', 0, 0, selection.cut_off, ''}, 0, 0, {}
reply[2] = walk_selected(selection, cursor, PAGE_BUDGET, function(serial, certificate)
  if not is_valid_now(certificate, now) or not selects(selection, serial, certificate, now) then return false end
  count = count + 1
  serials[count] = serial
  last_end = math.max(last_end, tonumber(certificate.not_after))
  if count <= shows then
    reply[#reply + 1] = {serial, {'names', certificate.names, 'customer', certificate.customer or '', 'issuer',
                                  certificate.issuer, 'not_after', certificate.not_after}}
  end
  return true
end)
reply[3], reply[4] = count, last_end
if wants_serials then reply[6] = table.concat(serials) end
return reply
