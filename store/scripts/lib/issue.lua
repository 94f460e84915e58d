-- The certificate of a commit or of a ledger record, and what recording it changes in its order.
-- uses: common, order, certificate, rights, crl, stop

-- ARGV[first ...] in the order that store/issue.c writes. Returns the table and the index after it.
local ISSUE_FIELDS = {'serial', 'attempt', 'order', 'account', 'customer', 'names', 'zones', 'profile', 'issuer', 'spki',
                      'not_before', 'not_after', 'issued', 'der', 'crl'}
local function read_issue(first)
  local issue = {}
  for i, name in ipairs(ISSUE_FIELDS) do issue[name] = ARGV[first + i - 1] end
  return issue, first + #ISSUE_FIELDS
end

local function certificate_fields(issue, status)
  local fields = {status = status}
  for _, name in ipairs(ISSUE_FIELDS) do
    if name ~= 'serial' then fields[name] = issue[name] end
  end
  -- The list that the certificate names; without a name, the complete one. '?': only the DER tells.
  if issue.issuer ~= '' and issue.crl ~= '?' then fields.crl = find_crl(issue.issuer, issue.crl) else fields.crl = '' end
  return fields
end

-- nil, or why the certificate may not be given out now; `order` is nil where it has none.
local function issue_problem(issue, order)
  local names = {}
  for name in string.gmatch(issue.names, '%S+') do names[#names + 1] = name end
  return account_problem(issue.account, issue.customer) or customer_problem(issue.customer) or
    api_key_problem(order and order.key or '', issue.zones) or
    (names_problem(names, issue.zones, issue.customer, order and tonumber(order.checked) or math.huge))
end

-- Signed, but not to be used: known, so that the caller's revocation finds it; never announced to the edges.
local function record_orphan(issue, retention, micros)
  if redis.call('EXISTS', 'certificate:' .. issue.serial) == 0 then
    record_certificate(issue.serial, certificate_fields(issue, 'void'), tonumber(issue.not_after) + retention, micros)
  end
end

-- Certificate valid, order valid, the certificate that the order replaces marked. `order` may be nil.
local function record_issue(issue, order, retention, evidence_retention, now, micros)
  record_certificate(issue.serial, certificate_fields(issue, 'valid'), tonumber(issue.not_after) + retention, micros)
  if not order then return end
  -- What the REST API was asked for, so that it can be answered again; only here, so it lives as long as the certificate.
  if order.request then redis.call('HSET', 'certificate:' .. issue.serial, 'request', order.request) end
  redis.call('HSET', 'order:' .. issue.order, 'serial', issue.serial, 'attempt', issue.attempt)
  redis.call('HDEL', 'order:' .. issue.order, 'error')
  move_order(issue.order, order, 'valid', order_end('valid', tonumber(order.expires), now, evidence_retention, 0))
  if order.replaces_serial and redis.call('EXISTS', 'certificate:' .. order.replaces_serial) == 1 then
    redis.call('HSET', 'certificate:' .. order.replaces_serial, 'replaced_by', issue.order)
    redis.call('HDEL', 'certificate:' .. order.replaces_serial, 'replacing')
  end
end
