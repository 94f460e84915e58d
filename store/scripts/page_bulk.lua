-- The certificates of the next serials of a job. What the job itself has revoked before it was interrupted is told by who
-- revoked it, and counted with the page. Whether piece and job are what an operator confirmed is judged by whoever asks.
-- keys: bulk:<id>, bulk-plan:<plan>, certificate:<serial>
-- arguments: id, holder, host, lease in ms, number of the piece, serials of it that are done, limit, by, plan
-- result: ok, seal of the piece, its serials or '', how many the job has revoked before, id, {fields of the job},
--   {serial, {fields}} ... | conflict
-- uses: selection, bulk
local id, holder, host, lease, piece, from, limit, by, plan = unpack(ARGV, 1, 9)
local SERIAL = 32
local job, why = hold_bulk(id, holder, host, tonumber(lease))
if not job then return {'conflict', why} end
local now = now_parts()
local kept = redis.pcall('HGET', 'bulk-plan:' .. plan, piece)
local seal, serials = string.match(type(kept) == 'string' and kept or '', '^(%S*) (%x+)$')
serials = serials or ''
local repeated, reply = 0, {'ok', seal or '', serials, 0, id, redis.call('HGETALL', 'bulk:' .. id)}
local first = tonumber(from) * SERIAL
local last = math.min(#serials, first + tonumber(limit) * SERIAL)
for at = first + 1, last, SERIAL do
  local serial = string.sub(serials, at, at + SERIAL - 1)
  local certificate = load_selected(serial)
  if certificate and certificate.status == 'revoked' and certificate.by == by then
    repeated = repeated + 1
  elseif certificate and certificate.names and is_valid_now(certificate, now) then
    reply[#reply + 1] = {serial, redis.call('HGETALL', 'certificate:' .. serial)}
  end
end
reply[4] = repeated
return reply
