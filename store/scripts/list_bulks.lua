-- A page of jobs, newest first.
-- keys: bulk-jobs, bulk:<id>
-- arguments: cursor or '', limit
-- result: ok, next cursor, {id, {fields}} ...
-- uses: page
return object_page('bulk:', 'bulk-jobs', ARGV[1], tonumber(ARGV[2]), '+inf')
