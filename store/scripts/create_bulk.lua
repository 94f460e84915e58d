-- A job that revokes many certificates; whoever is free takes it up.
-- keys: bulk:<id>, bulk-jobs, bulk-open, bulk-serials:<id>, bulk-list:<id>
-- arguments: id, reason, rate, by, total, selection (lib/selection.lua)
-- result: ok | notfound (the list)
-- uses: selection, bulk
local id, reason, rate, by, total = unpack(ARGV, 1, 5)
local selection = read_selection(6)
local now, micros = now_parts()
local key = 'bulk:' .. id
if redis.call('EXISTS', key) == 1 then return {'ok'} end
local problem = list_problem(selection)
if problem then return {'notfound', problem} end
local fields = selection_fields(selection)
for _, word in ipairs({'state', 'running', 'reason', reason, 'rate', rate, 'by', by, 'total', total, 'created', now}) do
  fields[#fields + 1] = word
end
redis.call('HSET', key, unpack(fields))
redis.call('ZADD', 'bulk-jobs', string.format('%.0f', micros), id)
queue_bulk(id, reason)
use_list(selection, id, now + 400 * 86400)
return {'ok'}
