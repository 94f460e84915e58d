-- Entries that a ledger has and the list has lost: they are on it again, and it is made anew at once.
-- keys: crl-lists, crl:<id>, crl-entries:<id>, crls-due
-- arguments: issuer, url, then serial, revoked at, reason, not_after ...
-- result: ok, how many it had lost
-- uses: crl
local id = find_crl(ARGV[1], ARGV[2])
local restored, _, micros = 0, now_parts()
for i = 3, #ARGV, 4 do
  local member = ARGV[i] .. ':' .. ARGV[i + 1] .. ':' .. ARGV[i + 2]
  restored = restored + redis.call('ZADD', 'crl-entries:' .. id, ARGV[i + 3], member)
end
if restored > 0 then touch_crl_that_lacked(id, micros) end
return {'ok', restored}
