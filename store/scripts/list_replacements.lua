-- A page of mass replacements, newest first.
-- keys: replacements, replacement:<id>
-- arguments: cursor or '', limit
-- result: ok, next cursor, {id, {fields}} ...
-- uses: page
return object_page('replacement:', 'replacements', ARGV[1], tonumber(ARGV[2]), '+inf')
