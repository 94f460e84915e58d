-- Replay of a ledger record "issued".
-- keys: as commit_certificate; blocked-keys, blocked-keys:<customer or account>
-- arguments: certificate_retention, evidence_retention, fresh, stale (is the evidence fresh enough to roll
--   forward?) or lost (this Redis may have forgotten a commit), the
--   certificate (lib/issue.lua), host, sequences ...
-- result: ok | conflict (nobody may use it: the caller revokes; the record is not marked)
-- uses: common, rights, key, issue, ledger
local retention, evidence_retention, proof = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local issue, at = read_issue(4)
local host, sequences = ARGV[at], {unpack(ARGV, at + 1)}
local now, micros = now_parts()
local function done()
  mark_applied(host, sequences)
  return {'ok'}
end
local function conflict(why)
  record_orphan(issue, retention, micros)
  return {'conflict', why}
end
if tonumber(issue.not_after) + retention <= now then return done() end
local known = redis.call('HMGET', 'certificate:' .. issue.serial, 'status', 'der')
local order = issue.order ~= '' and load_hash('order:' .. issue.order) or nil
local is_claimed = order and order.status == 'processing' and order.attempt == issue.attempt
if known[1] == 'valid' or (known[1] == 'revoked' and known[2]) then return done() end
if known[1] == 'void' then return conflict('the certificate was signed and never given out') end
if known[1] == 'revoked' then
  record_certificate(issue.serial, certificate_fields(issue, 'valid'), tonumber(issue.not_after) + retention, micros)
  local blocks = redis.call('HGET', 'certificate:' .. issue.serial, 'blocks')
  for scope in string.gmatch(blocks or '', '%S+') do block_key(issue.spki, scope) end
  if is_claimed then release_attempt(issue.order, order, issue.attempt, math.floor(micros / 1000)) end
  return done()
end
if is_claimed and proof ~= 'lost' then
  -- Claimed and never committed: the worker died. Only a fresh proof may still be used.
  local stop = stop_of(issue.customer, issue.zones, issue.issuer)
  local problem = stop and stop[2] or issue_problem(issue, order)
  if proof ~= 'fresh' then problem = 'the proof of ownership is too old' end
  if problem then return conflict(problem) end
elseif not is_claimed and order and order.serial ~= issue.serial and
    (order.released == issue.attempt or (order.attempt == issue.attempt and proof ~= 'lost')) then
  -- (In a Redis that went back another host's replay may have ended the order first, by a zone that went since.)
  return conflict('the order is ' .. order.status .. ' and this attempt was given up')
elseif order and order.status == 'valid' and order.serial ~= issue.serial then
  return conflict('the order has another certificate')
end
-- Left: this claim committed; or Redis has lost the claim or the whole order, so the certificate may be in use.
record_issue(issue, order, retention, evidence_retention, now, micros)
return done()
