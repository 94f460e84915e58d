-- A request that is sent again within its window must not make a second certificate: retry:<hash> holds the order that the
-- first one made.
-- uses: rights

-- The id of that order, as long as it stands for the request: open, or its certificate is still good, and what it was
-- given for is still the asker's.
local function order_of_retry(hash, now)
  local id = redis.call('GET', 'retry:' .. hash)
  if not id then return nil end
  local order = load_hash('order:' .. id)
  if not order or order_problem(order) then return nil end
  local waits = order.status == 'pending' or order.status == 'ready'
  if order.status == 'processing' or (waits and tonumber(order.expires) > now) then return id end
  local certificate = order.status == 'valid' and 'certificate:' .. (order.serial or '')
  if certificate and redis.call('HGET', certificate, 'status') == 'valid' then return id end
  return nil
end
