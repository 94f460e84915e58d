-- The newest 1000 binding keys of a customer.
-- keys: customer-eab:<customer>, eab:<kid>
-- arguments: customer
-- result: ok, '', {kid, fields} ...
-- uses: page
local reply = object_page('eab:', 'customer-eab:' .. ARGV[1], '', 1000, '+inf')
reply[2] = ''
return reply
