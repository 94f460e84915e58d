-- The newest 1000 API keys of a customer, ended ones too.
-- keys: customer-api-keys:<customer>, api-key:<id>
-- arguments: customer
-- result: ok, '', {id, fields} ...
-- uses: page
local reply = object_page('api-key:', 'customer-api-keys:' .. ARGV[1], '', 1000, '+inf')
reply[2] = ''
return reply
