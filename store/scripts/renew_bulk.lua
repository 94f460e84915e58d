-- The job stays this process's.
-- keys: bulk:<id>
-- arguments: id, holder, host, lease in ms, what keeps it from going on or ''
-- result: ok | conflict
-- uses: bulk
local id, holder, host, lease, problem = unpack(ARGV, 1, 5)
local job, why = hold_bulk(id, holder, host, tonumber(lease))
if not job then return {'conflict', why} end
if problem ~= '' then redis.call('HSET', 'bulk:' .. id, 'problem', problem) end
return {'ok'}
