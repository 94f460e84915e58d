-- A request that is sent again within its window must not make a second certificate: retry:<hash> holds the order that the
-- first one made.

-- The id of that order, as long as it stands for the request: open, or its certificate is still good.
local function order_of_retry(hash, now)
  local id = redis.call('GET', 'retry:' .. hash)
  if not id then return nil end
  local order = redis.call('HMGET', 'order:' .. id, 'status', 'expires', 'serial')
  local waits = order[1] == 'pending' or order[1] == 'ready'
  if order[1] == 'processing' or (waits and tonumber(order[2]) > now) then return id end
  if order[1] == 'valid' and redis.call('HGET', 'certificate:' .. (order[3] or ''), 'status') == 'valid' then return id end
  return nil
end
