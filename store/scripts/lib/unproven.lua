-- Entries of revocation lists of which Redis alone says that a ledger has revoked them. Each waits in `crl-unproven` until the
-- admin process of a host whose ledger has it says so under its seal (`crl-proofs`); what waits longer than that takes is nobody's.
-- uses: common

-- A key of another kind is somebody's doing: it is made anew, and who makes lists finds what was in it.
local function wait_for_proof(serial, micros)
  local ms = string.format('%.0f', micros / 1000)
  if type(redis.pcall('ZADD', 'crl-unproven', ms, serial)) ~= 'table' then return end
  redis.call('DEL', 'crl-unproven')
  redis.call('ZADD', 'crl-unproven', ms, serial)
end

-- Pages of proofs have numbers that rise, by the clock in μs: hosts read on from the last that they know. One far ahead of the clock
-- is somebody's doing and would hide those that come.
local DAY_MICROS = 86400000000
local function proof_ceiling(micros)
  return string.format('%.0f', micros + DAY_MICROS)
end

local function add_proof(seal, serials, ends, micros)
  local added = redis.pcall('ZREMRANGEBYSCORE', 'crl-proofs', '(' .. proof_ceiling(micros), '+inf')
  if type(added) == 'table' then redis.call('DEL', 'crl-proofs') end
  local newest = redis.call('ZRANGE', 'crl-proofs', '+inf', '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 1, 'WITHSCORES')
  local number = string.format('%.0f', math.max(micros, (tonumber(newest[2] or '0') or 0) + 1))
  redis.call('ZADD', 'crl-proofs', number, seal .. ' ' .. serials)
  if type(redis.pcall('ZADD', 'crl-proofs-by-end', ends, number)) == 'table' then
    redis.call('DEL', 'crl-proofs-by-end')
    redis.call('ZADD', 'crl-proofs-by-end', ends, number)
  end
end

local function drop_ended_proofs(now)
  for _, number in ipairs(redis.call('ZRANGE', 'crl-proofs-by-end', '-inf', now, 'BYSCORE', 'LIMIT', 0, 20)) do
    if string.match(number, '^%d+$') then redis.call('ZREMRANGEBYSCORE', 'crl-proofs', number, number) end
    redis.call('ZREM', 'crl-proofs-by-end', number)
  end
end
