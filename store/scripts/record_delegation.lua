-- Records a look at the delegation of a name whose zone went.
-- keys: names-due, name-sets:<name>, zone-name:<name>, zone:<id>
-- arguments: name, whether DNS could be asked, the servers that it names (blanks between), hold, release, seconds to the next look
-- result: ok
-- uses: common, delegation
local name, is_known, look = ARGV[1], ARGV[2] == '1', tonumber(ARGV[6])
local now = now_parts()
note_delegation(name, is_known and words(ARGV[3]) or nil, now, tonumber(ARGV[4]), tonumber(ARGV[5]), look)
if redis.call('EXISTS', 'name-sets:' .. name) == 0 then
  redis.call('ZREM', 'names-due', name)
else
  redis.call('ZADD', 'names-due', now + math.max(1, is_known and look or math.floor(look / 100)), name)
end
return {'ok'}
