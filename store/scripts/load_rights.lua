-- What hosts told each other of rights since this one looked last.
-- keys: ledger-rights, ledger:<host>
-- arguments: host, limit
-- result: ok, id of the last entry or '', {kind, subject, name, customer, at, seal} ...
local seen = redis.call('HGET', 'ledger:' .. ARGV[1], 'rights_seen')
local reply = {'ok', ''}
for _, entry in ipairs(redis.call('XRANGE', 'ledger-rights', seen and '(' .. seen or '-', '+', 'COUNT', ARGV[2])) do
  local map = {}
  for i = 1, #entry[2], 2 do map[entry[2][i]] = entry[2][i + 1] end
  reply[2] = entry[1]
  reply[#reply + 1] = {map.kind or '', map.subject or '', map.name or '', map.customer or '', map.at or '0', map.seal or ''}
end
return reply
