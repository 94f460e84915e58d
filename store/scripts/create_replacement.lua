-- A mass replacement: renewal information asks for these certificates from now on.
-- keys: replacement:<id>, replacements, replacements-open, bulk-serials:<id>, bulk-list:<id>
-- arguments: id, starts_at, over_seconds, explanation URL or '', by, total, end, most at once, selection (lib/selection.lua)
-- result: ok | conflict | notfound (the list)
-- uses: selection
local id, starts, over, url, by, total, ends, most = unpack(ARGV, 1, 8)
local selection = read_selection(9)
local now, micros = now_parts()
local key = 'replacement:' .. id
if redis.call('EXISTS', key) == 1 then return {'ok'} end
local problem = list_problem(selection)
if problem then return {'notfound', problem} end
redis.call('ZREMRANGEBYSCORE', 'replacements-open', '-inf', '(' .. now)
if redis.call('ZCARD', 'replacements-open') >= tonumber(most) then
  return {'conflict', 'there are ' .. most .. ' replacements already; cancel one that is over'}
end
local fields = selection_fields(selection)
for _, word in ipairs({'starts', starts, 'over', over, 'url', url, 'by', by, 'total', total, 'created', now, 'ends', ends}) do
  fields[#fields + 1] = word
end
redis.call('HSET', key, unpack(fields))
redis.call('ZADD', 'replacements', string.format('%.0f', micros), id)
redis.call('ZADD', 'replacements-open', ends, id)
expire_at(key, tonumber(ends) + SERIALS_GRACE)
use_list(selection, tonumber(ends))
return {'ok'}
