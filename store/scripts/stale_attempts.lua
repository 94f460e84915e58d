-- Attempts in processing since before a time, oldest first.
-- keys: attempts, order:<id>
-- arguments: claimed before (ms), limit
-- result: ok, {order, attempt, claimed at (ms)} ...
local reply = {'ok'}
for _, id in ipairs(redis.call('ZRANGE', 'attempts', '-inf', '(' .. ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])) do
  local order = redis.call('HMGET', 'order:' .. id, 'status', 'attempt', 'claimed')
  if order[1] == 'processing' then
    reply[#reply + 1] = {id, order[2], order[3]}
  else
    redis.call('ZREM', 'attempts', id)
  end
end
return reply
