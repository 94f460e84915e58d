-- What hosts have sealed since: pages of serials that their ledgers have revoked, or void. What can be none is taken away.
-- keys: crl-proofs
-- arguments: the number of the last one that the caller knows ('': none), how many
-- result: ok, the number of the last of these (the caller's where there are none), 1 where there may be more, {seal, serials, ...}
-- uses: unproven
local LONGEST = 32 * 1000
local _, micros = now_parts()
local from = ARGV[1] == '' and '-inf' or '(' .. ARGV[1]
local found = redis.pcall('ZRANGE', 'crl-proofs', from, proof_ceiling(micros), 'BYSCORE', 'LIMIT', 0, ARGV[2], 'WITHSCORES')
if found.err then
  redis.call('DEL', 'crl-proofs')
  return {'ok', '', 0, {}}
end
-- The number as Redis has it: rounded, it might be one that is asked for again.
local last, pages = ARGV[1], {}
for i = 1, #found, 2 do
  last = found[i + 1]
  local seal, serials = string.match(found[i], '^(%x+) (%x+)$')
  if not seal or #seal > 64 or #serials > LONGEST then
    redis.call('ZREM', 'crl-proofs', found[i])
  else
    pages[#pages + 1] = seal
    pages[#pages + 1] = serials
  end
end
return {'ok', last, #found > 0 and 1 or 0, pages}
