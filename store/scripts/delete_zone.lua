-- Off-boards a zone. From the first call on nothing is issued for it; its open orders become invalid, 500 a call.
-- keys: zone:<id>, zone-name:<name>, name-sets:<name>, zones-left:<name>, names-due, zones, zones:<status>, customer-zones:<customer>, zones-by-name, zones-due,
--   zone-orders:<id>, order:<id> and its indexes, ledger-rights, ledger:<host>
-- arguments: id, seconds that the deleted zone stays readable, number of orders done, refused_retention, seconds that name
--   servers may still have it, the right (lib/right.lua)
-- result: ok, number of orders done so far, or -1 when that was all | notfound
-- uses: pause
local id, keep, done = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
take_right(6)
local zone = load_hash('zone:' .. id)
if not zone then return {'notfound', 'no such zone'} end
local now = now_parts()
end_zone(id, zone, keep, tonumber(ARGV[5]), now)
return {'ok', end_zone_orders(id, done, now, tonumber(ARGV[4]))}
