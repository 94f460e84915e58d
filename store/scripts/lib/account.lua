-- ACME accounts: their life, and whether they may act.
-- nil, or why the account may not act. '' (orders of the REST API and of admins) is fine.
local function account_problem(id, customer)
  if id == '' then return nil end
  local account = redis.call('HMGET', 'account:' .. id, 'status', 'customer')
  if not account[1] then return 'the account does not exist' end
  if account[1] ~= 'valid' then return 'the account is ' .. account[1] end
  if customer and (account[2] or '') ~= customer then return 'the account is not of that customer' end
  return nil
end

-- Sets the end of an idle account's life on everything that is its own.
local function renew_account(id, map, now, idle)
  local ends = now + idle
  redis.call('HSET', 'account:' .. id, 'used', now)
  redis.call('ZADD', 'accounts', ends, id)
  for _, key in ipairs({'account:' .. id, 'account-key:' .. map.thumbprint, 'account-spki:' .. map.spki,
                        'account-orders:' .. id}) do
    redis.call('EXPIREAT', key, ends + 86400)
  end
end

-- What an account holds a valid authorization for: "name zone" with the time it ends, and in account-proofs when that was
-- proven. Whether the zone that it was proven in still gives a right is looked up when it is used (lib/rights.lua).
local function hold_name(id, held, proven, ends, now)
  if id == '' then return end
  local names, proofs = 'account-names:' .. id, 'account-proofs:' .. id
  local ended = redis.call('ZRANGE', names, '-inf', now, 'BYSCORE', 'LIMIT', 0, 500)
  if #ended > 0 then
    redis.call('ZREM', names, unpack(ended))
    redis.call('HDEL', proofs, unpack(ended))
  end
  if tonumber(redis.call('ZSCORE', names, held) or '0') <= tonumber(ends) then redis.call('HSET', proofs, held, proven) end
  redis.call('ZADD', names, 'GT', ends, held)
  for _, key in ipairs({names, proofs}) do
    if redis.call('EXPIREAT', key, ends, 'NX') == 0 then redis.call('EXPIREAT', key, ends, 'GT') end
  end
end

local function forget_name(id, held)
  redis.call('ZREM', 'account-names:' .. id, held)
  redis.call('HDEL', 'account-proofs:' .. id, held)
end

-- Lists it with its customer's accounts ('-': nobody's), by the μs of its creation.
local function list_account(id, customer, micros)
  redis.call('ZADD', 'customer-accounts:' .. (customer ~= '' and customer or '-'), 'NX', string.format('%.0f', micros), id)
end

local function list_known_account(id, account)
  list_account(id, account.customer or '', tonumber(account.created) * 1000000)
end

-- Accounts of before there were these lists: takes the next ones; true where all are listed. Walks up by the end of their lives,
-- which only moves on to a later one, so none is missed.
local function list_former_accounts(limit)
  local from = redis.call('GET', 'accounts-listed') or '-inf'
  if from == 'all' then return true end
  local page = redis.call('ZRANGE', 'accounts', from, '+inf', 'BYSCORE', 'LIMIT', 0, limit, 'WITHSCORES')
  local is_whole, last = #page < 2 * limit, page[#page]
  if not is_whole and last == from then -- more of one second than a page has
    page = redis.call('ZRANGE', 'accounts', from, from, 'BYSCORE', 'WITHSCORES')
    last = '(' .. from
  end
  for i = 1, #page, 2 do
    local found = redis.call('HMGET', 'account:' .. page[i], 'customer', 'created')
    if found[2] then list_known_account(page[i], {customer = found[1] or '', created = found[2]}) end
  end
  redis.call('SET', 'accounts-listed', is_whole and 'all' or last)
  return is_whole
end
