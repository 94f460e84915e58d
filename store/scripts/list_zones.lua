-- A page of zones, newest first, of one customer or of all.
-- keys: zones, customer-zones:<customer>, zone:<id>
-- arguments: customer or '', cursor or '', limit
-- result: ok, next cursor, {id, fields} ...
-- uses: page
local index = ARGV[1] ~= '' and 'customer-zones:' .. ARGV[1] or 'zones'
return object_page('zone:', index, ARGV[2], tonumber(ARGV[3]), '+inf')
