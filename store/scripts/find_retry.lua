-- The order that an earlier request of this hash made, as long as it stands for the request.
-- keys: retry:<hash>, order:<id>, certificate:<serial>, account:<id>, customer:<id>, api-key:<id>, zone:<id>, zone-name:<suffix>
-- arguments: hash
-- result: ok, id, fields | notfound
-- uses: common, retry
local id = order_of_retry(ARGV[1], (now_parts()))
if not id then return {'notfound', 'no earlier request'} end
local _, flat = load_hash('order:' .. id)
return {'ok', id, flat}
