-- What hosts have sealed since: pages of serials that their ledgers have revoked, or void.
-- keys: crl-proofs
-- arguments: the number of the last one that the caller knows ('0': none), how many
-- result: ok, the number of the last of these (the caller's where there are none), {seal, serials, seal, serials, ...}
-- uses: unproven
local LONGEST = 32 * 1000
local _, micros = now_parts()
local found = redis.pcall('ZRANGE', 'crl-proofs', '(' .. ARGV[1], proof_ceiling(micros), 'BYSCORE', 'LIMIT', 0, ARGV[2], 'WITHSCORES')
if found.err then
  redis.call('DEL', 'crl-proofs')
  return {'ok', '0', {}}
end
local last, pages = ARGV[1], {}
for i = 1, #found, 2 do
  last = string.format('%.0f', tonumber(found[i + 1]))
  local seal, serials = string.match(found[i], '^(%x+) (%x+)$')
  if not seal or #seal > 64 or #serials > LONGEST then seal, serials = '', '' end -- no host's
  pages[#pages + 1] = seal
  pages[#pages + 1] = serials
end
return {'ok', last, pages}
