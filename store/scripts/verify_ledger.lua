-- The host has found that this run of Redis holds everything that its ledger holds. The first one to say so of a run also ends
-- the nonces, the DNS checks and the cut-offs of before, and names the hosts that it knew: an old copy may not have heard of them.
-- keys: ledger:<host>, ledger-hosts, ledger-run, nonces:not-before, ledger-checks-since, certificates-recorded, certificates-recorded-base
-- arguments: host, run of Redis, hosts that it knew ...
-- result: ok | conflict (another run of Redis)
-- uses: common, run
local host, run = ARGV[1], ARGV[2]
if run_of_redis() ~= run then return {'conflict', 'Redis was started again meanwhile'} end
local now, micros = now_parts()
local last = redis.call('GET', 'ledger-run')
if last ~= run then
  redis.call('SET', 'ledger-run', run)
  begin_numbers(micros)
  -- Where Redis and ledger are new, nothing was spent before.
  local applied = redis.call('HGET', 'ledger:' .. host, 'applied') or '0'
  if last or tonumber(applied) > 1 then end_what_was_before(now) end
  for i = 3, #ARGV do redis.call('ZADD', 'ledger-hosts', 'NX', now, ARGV[i]) end
end
redis.call('ZADD', 'ledger-hosts', 'NX', now, host)
redis.call('HSET', 'ledger:' .. host, 'verified', run)
redis.call('HDEL', 'ledger:' .. host, 'excused', 'excused_by')
return {'ok'}
