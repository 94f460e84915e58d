-- Adds serials to a list that a selection can name; what nothing uses within an hour goes.
-- keys: bulk-serials:<id>, bulk-list:<id>
-- arguments: id, 1 for a new list, most of one list, serial ...
-- result: ok, how many the list has | notfound | conflict (it was counted) | limit
-- uses: selection
local id, is_new, most = ARGV[1], ARGV[2] == '1', tonumber(ARGV[3])
local key, about = 'bulk-serials:' .. id, 'bulk-list:' .. id
if not is_new and list_problem({serials = id}) then return {'notfound', 'there is no such list of serials any more'} end
if redis.call('HEXISTS', about, 'fixed') == 1 then
  return {'conflict', 'the list was counted and is fixed since; begin another one'}
end
local size = redis.call('ZCARD', key)
if size + #ARGV - 3 > most then return {'limit', 'a list has ' .. ARGV[3] .. ' serials at most (serial_list_max)'} end
for i = 4, #ARGV do redis.call('ZADD', key, 'NX', size + i - 3, ARGV[i]) end
size = redis.call('ZCARD', key)
redis.call('HSET', about, 'size', size)
redis.call('EXPIRE', key, SERIALS_UNUSED)
redis.call('EXPIRE', about, SERIALS_UNUSED)
return {'ok', size}
