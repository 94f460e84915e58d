-- Revokes, once and for ever: time and reason stay, except that keyCompromise replaces another reason, and with proof
-- replaces one without. It blocks the key for those it speaks for (lib/key.lua). A Redis at its maxmemory takes it all the same:
-- it is some hundred bytes, once for each certificate, and a Redis that lacks it goes on telling the certificate as good.
-- keys: certificate:<serial>, certificates:revoked, certificates:void, blocked-keys, blocked-keys:<customer or account>,
--   edge-events, order:<id>, crl-lists, crl:<id>, crl-entries:<id>, crls-due, crl-unsorted, ledger:<host>
-- arguments: serial, revoked_at, reason, by, tombstone ('' or the end of one's life, for replay: the revocation may be
--   known before the certificate), issuer or '', the URL of its list or '', its end or 0, host, sequences ...
-- result: ok | notfound
-- uses: common, order, edge, key, crl, ledger
-- flags: allow-oom
local NO_END = 4102444800
local serial, revoked_at, reason, by, tombstone_ends, issuer, crl, not_after, host = unpack(ARGV, 1, 9)
local key = 'certificate:' .. serial
local now, micros = now_parts()
local certificate = load_hash(key)
if not certificate then
  if tombstone_ends == '' then return {'notfound', 'no such certificate'} end
  redis.call('HSET', key, 'status', 'revoked', 'issuer', issuer)
  expire_at(key, tombstone_ends)
  redis.call('ZADD', 'certificates-by-expiry', tombstone_ends, serial)
  certificate = {status = 'new', issuer = issuer}
end
if certificate.status ~= 'revoked' then
  redis.call('HSET', key, 'status', 'revoked', 'revoked', revoked_at, 'reason', reason, 'by', by)
  redis.call('ZADD', 'certificates:revoked', revoked_at, serial)
  redis.call('ZREM', 'certificates:void', serial)
  add_edge_event(micros, 'event', 'revoked', 'serial', serial, 'issuer', certificate.issuer or issuer,
                 'not_after', certificate.not_after or '')
  local order = certificate.order and load_hash('order:' .. certificate.order)
  if order and (certificate.status == 'void' or by == 'recovery') then
    if order.status == 'valid' and order.serial == serial then
      -- A replay over an old Redis rolled it forward before it came to this record: nobody has it, the order is as before.
      redis.call('HDEL', 'order:' .. certificate.order, 'serial')
      move_order(certificate.order, order, 'processing', math.max(tonumber(order.expires), now + 3600))
    end
    if order.status == 'processing' and order.attempt == certificate.attempt then
      release_attempt(certificate.order, order, certificate.attempt, math.floor(micros / 1000))
    end
  end
elseif revocation_rank(reason, by) > revocation_rank(certificate.reason, certificate.by) then
  redis.call('HSET', key, 'reason', reason, 'by', by)
  redis.call('HDEL', key, 'told')
end
local ends = tonumber(certificate.not_after or (not_after ~= '0' and not_after) or tombstone_ends) or NO_END
if ends > now then
  local is = redis.call('HMGET', key, 'revoked', 'reason')
  local own, is_same = certificate.issuer or issuer, (certificate.issuer or issuer) == issuer
  -- The certificate's record says whose it is, whatever is said by who revokes.
  if not is_same or certificate.crl then put_crl_also(serial, issuer, crl, is[1], is[2], ends, micros) end
  put_crl_entry(serial, own, is_same and not certificate.crl and crl or '', is[1], is[2], ends, micros)
end
local scope = reason == '1' and block_scope(by)
if scope and certificate.spki then
  block_key(certificate.spki, scope)
elseif scope then
  -- The key is not known yet: the certificate's record will bring it.
  local blocks = redis.call('HGET', key, 'blocks') or ''
  if not string.find(blocks, ' ' .. scope .. ' ', 1, true) then
    redis.call('HSET', key, 'blocks', (blocks == '' and ' ' or blocks) .. scope .. ' ')
  end
end
mark_applied(host, {unpack(ARGV, 10)})
return {'ok'}
