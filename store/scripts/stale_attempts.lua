-- Attempts in processing since before a time, oldest first: a host's own, and anybody's whose order has ended. Of another host's
-- that never came back there may be many, so more are looked at than are answered.
-- keys: attempts, order:<id>
-- arguments: claimed before (ms), limit, how an attempt of this host begins, end of life before (seconds)
-- result: ok, {order, attempt, claimed at (ms), end of the order's life} ...
local reply, limit = {'ok'}, tonumber(ARGV[2])
for _, id in ipairs(redis.call('ZRANGE', 'attempts', '-inf', '(' .. ARGV[1], 'BYSCORE', 'LIMIT', 0, 20 * limit)) do
  local order = redis.call('HMGET', 'order:' .. id, 'status', 'attempt', 'claimed', 'expires')
  if order[1] ~= 'processing' or not order[2] then
    redis.call('ZREM', 'attempts', id)
  elseif string.sub(order[2], 1, #ARGV[3]) == ARGV[3] or tonumber(order[4]) < tonumber(ARGV[4]) then
    reply[#reply + 1] = {id, order[2], order[3], order[4]}
    if #reply > limit then break end
  end
end
return reply
