-- Pauses a zone, or lets it go on in the status it had.
-- keys: zone:<id>, zone-name:<name>, zones:<status>, zones-due, ledger-rights, ledger:<host>
-- arguments: id, is_paused, the right (lib/right.lua)
-- result: ok, id, fields | notfound
-- uses: pause
local id, is_paused = ARGV[1], ARGV[2] == '1'
local right = take_right(3)
local key = 'zone:' .. id
local zone, flat = load_hash(key)
if not zone or zone.status == 'deleted' then return {'notfound', 'no such zone'} end
local now, micros = now_parts()
set_zone_paused(id, zone, is_paused, right.at, right.by, now, micros)
zone, flat = load_hash(key)
return {'ok', id, flat}
