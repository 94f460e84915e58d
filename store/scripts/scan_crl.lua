-- Some entries of a list. What is on it all the while comes at least once, whatever else comes and goes; of a serial whose entry is
-- replaced meanwhile one of the two, or both (lib/crl.lua note_replaced).
-- keys: crl-entries:<id>, crls-adopted
-- arguments: id, cursor ('0' to begin), about how many
-- result: ok, next cursor ('0': that was all), {serial:revoked_at:reason, ...}
-- uses: crl
mend_crl_entries(ARGV[1])
local found = redis.call('ZSCAN', 'crl-entries:' .. ARGV[1], ARGV[2], 'COUNT', ARGV[3])
local members = {}
for i = 1, #found[2], 2 do members[#members + 1] = found[2][i] end
return {'ok', found[1], members}
