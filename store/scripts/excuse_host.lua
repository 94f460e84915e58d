-- An operator goes on without what a host's ledger may hold: in this run of Redis, or for good, until the host comes back.
-- keys: ledger-hosts, ledger:<host>
-- arguments: host, by, for good
-- result: ok | notfound | conflict (it has compared its ledger)
-- uses: run
local host, by, is_for_good = ARGV[1], ARGV[2], ARGV[3] == '1'
local run = run_of_redis()
if not redis.call('ZSCORE', 'ledger-hosts', host) then return {'notfound', 'Redis knows no host ' .. host} end
if is_for_good then
  redis.call('ZREM', 'ledger-hosts', host)
elseif redis.call('HGET', 'ledger:' .. host, 'verified') == run then
  return {'conflict', 'nobody waits for ' .. host .. ': it has compared its ledger with this Redis'}
end
redis.call('HSET', 'ledger:' .. host, 'excused', run, 'excused_by', by)
return {'ok'}
