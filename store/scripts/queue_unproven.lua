-- Entries of a list that no ledger is known to have, wherever they come from: all hosts look whether theirs has them.
-- keys: crl-unproven, crls-left-out
-- arguments: id of the list, 1 where these are so many that some may be left out, serials ...
-- result: ok, the clock in ms
-- uses: unproven
local _, micros = now_parts()
if ARGV[2] == '1' and type(redis.pcall('SADD', 'crls-left-out', ARGV[1])) == 'table' then
  redis.call('DEL', 'crls-left-out')
  redis.call('SADD', 'crls-left-out', ARGV[1])
end
for i = 3, #ARGV do
  local since = redis.pcall('ZSCORE', 'crl-unproven', ARGV[i])
  -- One that waits since a time that has not come would never be looked at by drop-unproven.
  if type(since) ~= 'string' or tonumber(since) > micros / 1000 then wait_for_proof(ARGV[i], micros) end
end
return {'ok', string.format('%.0f', micros / 1000)}
