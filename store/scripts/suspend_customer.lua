-- Stops issuing for a customer, or lets it go on.
-- keys: customer:<id>, customers-suspended, ledger-rights, ledger:<host>
-- arguments: id, is_suspended, the right (lib/right.lua)
-- result: ok, id, fields | notfound
-- uses: pause
local id = ARGV[1]
local right = take_right(3)
set_customer_suspended(id, ARGV[2] == '1', right.at, right.by)
local customer, flat = load_hash('customer:' .. id)
if not customer then return {'notfound', 'no such customer'} end
return {'ok', id, flat}
