-- A certificate, and the mass replacement that asks for it first.
-- keys: certificate:<serial>, replacements-open, replacement:<id>, bulk-serials:<id>
-- arguments: serial
-- result: ok, serial, {fields}, starts or 0, over, explanation URL | notfound
-- uses: selection
local serial = ARGV[1]
local certificate, flat = load_hash('certificate:' .. serial)
if not certificate then return {'notfound', 'no such certificate'} end
local starts, over, url = 0, 0, ''
local open = redis.call('ZRANGE', 'replacements-open', 0, -1)
for _, id in ipairs(open) do
  local known = load_hash('replacement:' .. id)
  if known and selects(selection_of(known), serial, certificate, tonumber(known.created)) and
      (starts == 0 or tonumber(known.starts) < starts) then
    starts, over, url = tonumber(known.starts), tonumber(known.over), known.url or ''
  end
end
return {'ok', serial, flat, starts, over, url}
