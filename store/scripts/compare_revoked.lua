-- Revocations that a ledger has, of one list: what Redis has lost of them, or somebody has taken away, is there again.
-- keys: crl-lists, crl:<id>, crl-entries:<id>, crls-due, crl-unproven, certificate:<serial>, certificates:revoked, edge-events
-- arguments: issuer, url ('': the complete list, with which certificates are compared too), then serial, revoked at, reason,
--   not_after ...
-- result: ok, how many entries were missing, how many certificates were not revoked
-- uses: common, edge, crl
local id, is_complete = find_crl(ARGV[1], ARGV[2]), ARGV[2] == ''
local _, micros = now_parts()
local entries, certificates = 0, 0

local function is_listed(serial, member, known)
  local key = 'crl-entries:' .. id
  if redis.call('ZSCORE', key, member) then return true end
  return known and string.sub(known, 1, 33) == serial .. ':' and redis.call('ZSCORE', key, known)
end

for i = 3, #ARGV, 4 do
  local serial, revoked_at, reason, ends = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local key, member = 'certificate:' .. serial, serial .. ':' .. revoked_at .. ':' .. reason
  local known = redis.pcall('HMGET', key, 'status', 'entry', 'not_after')
  if known.err then known = {} end
  if not is_listed(serial, member, known[2]) then
    redis.call('ZADD', 'crl-entries:' .. id, ends, member)
    wait_for_proof(serial, micros)
    entries = entries + 1
  end
  if is_complete and known[1] == 'valid' then
    redis.call('HSET', key, 'status', 'revoked', 'revoked', revoked_at, 'reason', reason, 'by', 'ledger', 'entry', member)
    redis.call('HDEL', key, 'told')
    redis.call('ZADD', 'certificates:revoked', revoked_at, serial)
    add_edge_event(micros, 'event', 'revoked', 'serial', serial, 'issuer', ARGV[1], 'not_after', known[3] or '')
    certificates = certificates + 1
  end
end
if entries > 0 then touch_crl_that_lacked(id, micros) end
return {'ok', entries, certificates}
