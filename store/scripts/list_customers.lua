-- A page of customers, newest first.
-- keys: customers, customer:<id>
-- arguments: cursor or '', limit
-- result: ok, next cursor, {id, fields} ...
-- uses: page
return object_page('customer:', 'customers', ARGV[1], tonumber(ARGV[2]), '+inf')
