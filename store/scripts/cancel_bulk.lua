-- Nothing more is begun of a job; what it has revoked stays revoked.
-- keys: bulk:<id>, bulk-open
-- arguments: id, by, retention
-- result: ok, id, {fields} | notfound | conflict
-- uses: bulk
local id, by, retention = unpack(ARGV, 1, 3)
local key = 'bulk:' .. id
local job = load_hash(key)
if not job then return {'notfound', 'no such job'} end
if job.state ~= 'running' then return {'conflict', 'the job is ' .. job.state .. ' already'} end
if job.holder then redis.call('HSET', key, 'last_holder', job.holder) end
end_bulk(id, 'cancelled', tonumber(retention), by)
return {'ok', id, redis.call('HGETALL', key)}
