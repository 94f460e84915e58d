-- The host's signer knows what it was told up to an entry; what all hosts know is told no longer.
-- keys: ledger-rights, ledger-hosts, ledger:<host>, ledger-ahead:<host>
-- arguments: host, id of the entry or '', sequences of the records that it wrote ...
-- result: ok
-- uses: ledger
local host, seen = ARGV[1], ARGV[2]
mark_applied(host, {unpack(ARGV, 3)})
if seen == '' then return {'ok'} end
redis.call('HSET', 'ledger:' .. host, 'rights_seen', seen)
local least, least_ms, least_number
for _, other in ipairs(redis.call('ZRANGE', 'ledger-hosts', 0, -1)) do
  local ms, number = string.match(redis.call('HGET', 'ledger:' .. other, 'rights_seen') or '0-0', '^(%d+)-(%d+)$')
  ms, number = tonumber(ms), tonumber(number)
  if not least or ms < least_ms or (ms == least_ms and number < least_number) then
    least, least_ms, least_number = true, ms, number
  end
end
if least then redis.call('XTRIM', 'ledger-rights', 'MINID', string.format('%.0f-%.0f', least_ms, least_number)) end
return {'ok'}
