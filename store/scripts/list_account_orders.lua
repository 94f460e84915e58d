-- A page of an account's order ids, newest first, without invalid ones (RFC 8555 7.1.2.1).
-- keys: account-orders:<id>, order:<id>
-- arguments: account, cursor or '', limit
-- result: ok, next cursor, id ...
-- uses: page
local now = now_parts()
local reply = {'ok', ''}
reply[2] = walk_page('account-orders:' .. ARGV[1], ARGV[2], tonumber(ARGV[3]), '+inf', function(id)
  local order = redis.call('HMGET', 'order:' .. id, 'status', 'expires')
  if not order[1] then return nil end
  local is_open = order[1] == 'pending' or order[1] == 'ready'
  if order[1] == 'invalid' or (is_open and tonumber(order[2]) <= now) then return false end
  reply[#reply + 1] = id
  return true
end)
return reply
