-- Lists that were published after the sequence that the caller knows, oldest first.
-- keys: crls-published, crl:<id>
-- arguments: sequence, limit
-- result: ok, {id, fields, sequence} ...
-- uses: common
local reply = {'ok'}
local found = redis.call('ZRANGE', 'crls-published', '(' .. ARGV[1], '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[2], 'WITHSCORES')
for i = 1, #found, 2 do
  local _, flat = load_hash('crl:' .. found[i])
  reply[#reply + 1] = {found[i], flat, found[i + 1]}
end
return reply
