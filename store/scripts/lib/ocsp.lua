-- What OCSP says of a certificate now. The state is one text; an answer that was signed is kept (by workers) together with the state
-- that it was made of, so that one of before a revocation can never be taken for one of after it.

-- Issuer, state ('good', 'revoked:<time>:<reason>', '' where the serial is not known). What was never given out (void) was
-- revoked when it came into being: it stands so in the lists.
local function ocsp_state(serial)
  local status, issuer, revoked, reason, issued =
    unpack(redis.call('HMGET', 'certificate:' .. serial, 'status', 'issuer', 'revoked', 'reason', 'issued'))
  if status == 'valid' then return issuer or '', 'good' end
  if status == 'revoked' then return issuer or '', 'revoked:' .. (revoked or '') .. ':' .. (reason or '0') end
  if status == 'void' then return issuer or '', 'revoked:' .. (issued or '') .. ':0' end
  return '', ''
end
