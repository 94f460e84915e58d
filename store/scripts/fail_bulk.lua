-- A job that is not what an operator confirmed, or not there as a whole, has failed. Of one that nothing can read nothing stays
-- but that.
-- keys: bulk:<id>, bulk-plan:<plan>, bulk-open
-- arguments: id, holder, problem, 1 where it cannot be read, retention
-- result: ok | conflict
-- uses: bulk
local id, holder, problem, is_unreadable, retention = unpack(ARGV, 1, 5)
local key = 'bulk:' .. id
if redis.call('HGET', key, 'holder') ~= holder then return {'conflict', 'the job is another process\'s'} end
if is_unreadable == '1' then
  redis.call('DEL', key)
  redis.call('HSET', key, 'reason', 0, 'rate', 1, 'total', 0, 'created', (now_parts()))
end
end_bulk(id, 'failed', tonumber(retention), '')
redis.call('HSET', key, 'problem', problem)
return {'ok'}
