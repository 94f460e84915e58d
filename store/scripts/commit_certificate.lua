-- An issued certificate: recorded, its order valid, the edges told, the ledger marked; only if the order is still this
-- attempt's and account and zones are still good. A repeated call succeeds. On conflict the certificate is kept as
-- void, so that the revocation that must follow finds it.
-- keys: certificate:<serial> and its indexes, order:<id> and its, account:<id>, api-key:<id>, zone:<id>,
--   zone-name:<suffix>, ledger-stops, customer:<id>, edge-events, ledger:<host>
-- arguments: certificate_retention, evidence_retention, the certificate (lib/issue.lua), host, sequences ...
-- result: ok | conflict | stopped (likewise)
-- uses: common, rights, issue, ledger
local retention, evidence_retention = tonumber(ARGV[1]), tonumber(ARGV[2])
local issue, at = read_issue(3)
local host, sequences = ARGV[at], {unpack(ARGV, at + 1)}
local now, micros = now_parts()
local known = redis.call('HMGET', 'certificate:' .. issue.serial, 'status', 'attempt')
if known[1] == 'valid' and known[2] == issue.attempt then
  mark_applied(host, sequences)
  return {'ok'}
end
local function conflict(why, status)
  record_orphan(issue, retention, micros)
  return {status or 'conflict', why}
end
if known[1] then return conflict('the serial is known as ' .. known[1]) end
local order
if issue.order ~= '' then
  order = load_hash('order:' .. issue.order)
  if not order then return conflict('the order is not here any more') end
  if order.status ~= 'processing' or order.attempt ~= issue.attempt then
    return conflict('the order is ' .. order.status .. ', not in processing by this attempt')
  end
end
local stop = stop_of(issue.customer, issue.zones, issue.issuer)
if stop then return conflict(stop[2], stop[1]) end
local problem = issue_problem(issue, order)
if problem then return conflict(problem) end
record_issue(issue, order, retention, evidence_retention, now, micros)
mark_applied(host, sequences)
return {'ok'}
