-- The next certificates of a job, from where it stands. What the job itself has revoked before it was interrupted is told by
-- who revoked it, and counted with the page.
-- keys: bulk:<id>, and as count_selected
-- arguments: id, holder, host, lease in ms, limit, retention
-- result: ok, next cursor, cursor, how many the job has revoked before, {serial, {fields}} ... | conflict (also: what is selected cannot be told any more, and the
--   job has failed)
-- uses: page, selection, bulk
local id, holder, host, lease, limit, retention = unpack(ARGV, 1, 6)
local job, why = hold_bulk(id, holder, host, tonumber(lease))
if not job then return {'conflict', why} end
local selection, made, now = selection_of(job), tonumber(job.created), now_parts()
local problem = list_problem(selection)
if problem then
  end_bulk(id, 'failed', tonumber(retention), '')
  redis.call('HSET', 'bulk:' .. id, 'problem', problem)
  return {'conflict', problem}
end
local cursor, repeated = job.cursor or '', 0
local reply = {'ok', '', cursor, 0}
reply[2] = walk_selected(selection, cursor, tonumber(limit), function(serial, certificate)
  if not selects(selection, serial, certificate, made) then return false end
  if certificate.status == 'revoked' and certificate.by == job.by then
    repeated = repeated + 1
    return true
  end
  if not is_valid_now(certificate, now) then return false end
  reply[#reply + 1] = {serial, redis.call('HGETALL', 'certificate:' .. serial)}
  return true
end)
reply[4] = repeated
return reply
