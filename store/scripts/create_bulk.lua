-- A job that revokes many certificates, those of its pieces; whoever is free takes it up.
-- keys: bulk:<id>, bulk-jobs, bulk-open, bulk-plan:<plan>
-- arguments: id, reason, rate, by, total, created, plan, seal, seal of the progress, serials of a piece, selection (lib/selection.lua)
-- result: ok | notfound (its pieces)
-- uses: selection, bulk
local id, reason, rate, by, total, created, plan, seal, progress, piece = unpack(ARGV, 1, 10)
local selection = read_selection(11)
local now, micros = now_parts()
local key = 'bulk:' .. id
local PLAN_LIFE = 400 * 86400
if redis.call('EXISTS', key) == 1 then return {'ok'} end
if redis.call('HLEN', 'bulk-plan:' .. plan) ~= math.ceil(tonumber(total) / tonumber(piece)) then
  return {'notfound', 'the list of its certificates is not in Redis any more; begin again'}
end
redis.call('EXPIREAT', 'bulk-plan:' .. plan, string.format('%.0f', now + PLAN_LIFE))
local fields = selection_fields(selection)
for _, word in ipairs({'state', 'running', 'reason', reason, 'rate', rate, 'by', by, 'total', total, 'created', created, 'cursor', 0,
                       'done', 0, 'failed', 0, 'plan', plan, 'seal', seal, 'progress_seal', progress}) do
  fields[#fields + 1] = word
end
redis.call('HSET', key, unpack(fields))
redis.call('ZADD', 'bulk-jobs', string.format('%.0f', micros), id)
queue_bulk(id, reason)
return {'ok'}
