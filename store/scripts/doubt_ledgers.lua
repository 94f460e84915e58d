-- The data of this run went back in time: every host has to compare its ledger anew, and the nonces, DNS checks and cut-offs of before end.
-- keys: ledger-hosts, ledger:<host>, nonces:not-before, ledger-checks-since, certificates-recorded, certificates-recorded-base
-- arguments: none
-- result: ok
-- uses: common, run
for _, host in ipairs(redis.call('ZRANGE', 'ledger-hosts', 0, -1)) do
  redis.call('HDEL', 'ledger:' .. host, 'verified', 'excused', 'excused_by')
end
local now, micros = now_parts()
end_what_was_before(now)
begin_numbers(micros)
return {'ok'}
