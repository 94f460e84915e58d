-- Keys that no certificate may have because somebody said that they are compromised. What was said with proof of the
-- key's possession, or by an admin, counts for everybody; without proof for those alone who said it (doc/rights.md).

-- For whom `by` of a revocation speaks: 'all', a customer, an account without one; nil for nobody.
local function block_scope(by)
  if by == 'certificate-key' or string.match(by, '^admin') then return 'all' end
  return string.match(by, ' customer:(%S+)') or string.match(by, '^account:(%S+)')
end

-- How much a revocation says of its key; what says more replaces what says less.
local function revocation_rank(reason, by)
  if reason ~= '1' then return 0 end
  return block_scope(by or '') == 'all' and 2 or 1
end

local function block_key(spki, scope)
  if scope then redis.call('SADD', scope == 'all' and 'blocked-keys' or 'blocked-keys:' .. scope, spki) end
end

local function is_key_blocked(spki, customer, account)
  local own = customer ~= '' and customer or account
  return redis.call('SISMEMBER', 'blocked-keys', spki) == 1 or
    (own ~= '' and redis.call('SISMEMBER', 'blocked-keys:' .. own, spki) == 1)
end
