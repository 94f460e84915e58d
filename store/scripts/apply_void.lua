-- Replay of a ledger record "void": an intent that never became a certificate. Its order waits for another attempt.
-- keys: certificate:<serial> and its indexes, order:<id>, attempts, orders-waiting, ledger:<host>
-- arguments: certificate_retention, the certificate without its DER (lib/issue.lua), host, sequences ...
-- result: ok
-- uses: common, issue, ledger
local issue, at = read_issue(2)
local now, micros = now_parts()
local ends = tonumber(issue.not_after) + tonumber(ARGV[1])
if redis.call('EXISTS', 'certificate:' .. issue.serial) == 0 and ends > now then
  record_certificate(issue.serial, certificate_fields(issue, 'void'), ends, micros)
end
local order = issue.order ~= '' and load_hash('order:' .. issue.order) or nil
if order and order.status == 'processing' and order.attempt == issue.attempt then
  release_attempt(issue.order, order, issue.attempt, math.floor(micros / 1000))
end
mark_applied(ARGV[at], {unpack(ARGV, at + 1)})
return {'ok'}
