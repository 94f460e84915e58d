-- A page of a job is done: it stands behind it from now on, and all that the page counted is counted in the same moment. After
-- the last page the job is done. Also what was done while it was cancelled counts. Where all places are taken, the job makes
-- room for one that waits, and waits itself.
-- keys: bulk:<id>, bulk-plan:<plan>, bulk-open
-- arguments: id, holder, where the page began, where the job is by it, all that is done, all that failed, seal of these, 1 after
--   the last page, problem or '', retention, 1 where this process has no place left
-- result: ok, 1 where it waits now | conflict
-- uses: bulk
local id, holder, before, position, done, failed, seal, is_last, problem, retention, is_full = unpack(ARGV, 1, 11)
local key = 'bulk:' .. id
local job = load_hash(key)
if not job then return {'conflict', 'the job is not here any more'} end
local is_mine = job.holder == holder or (job.state == 'cancelled' and job.last_holder == holder)
if not is_mine or job.cursor ~= before then return {'conflict', 'the job is another process\'s'} end
redis.call('HSET', key, 'cursor', position, 'done', done, 'failed', failed, 'progress_seal', seal)
if problem ~= '' then redis.call('HSET', key, 'problem', problem) end
if job.state ~= 'running' then
  redis.call('HDEL', key, 'last_holder')
  return {'conflict', 'the job is ' .. job.state}
end
if is_last == '1' then
  end_bulk(id, 'done', tonumber(retention), '')
elseif is_full == '1' and has_rival(id, job.reason) then
  redis.call('HDEL', key, 'holder', 'lease')
  queue_bulk(id, job.reason)
  return {'ok', 1}
end
return {'ok', 0}
