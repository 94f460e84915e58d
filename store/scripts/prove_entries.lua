-- A host's ledger has these serials. Under a seal all hosts take its word; without one they just wait no longer.
-- A page of proofs leaves a month after the last of its certificates has ended: it is on no list then.
-- keys: crl-unproven, crl-proofs, crl-proofs-by-end, certificate:<serial>, crls-left-out, crl:<id>, crls-due
-- arguments: seal or '', the serials that are sealed without anything between
-- result: ok
-- uses: crl
local NO_END, KEPT, MOST_LISTS = 4102444800, 30 * 86400, 5000
local seal, sealed = ARGV[1], ARGV[2]
local now, micros = now_parts()
local ends = now
local function end_waiting(serial)
  if type(redis.pcall('ZREM', 'crl-unproven', serial)) == 'table' then redis.call('DEL', 'crl-unproven') end
end

-- Entries that were left out of these may be proven now. Who made them remembers it too (server/crl/unproven.c).
local function touch_left_out()
  local lists = redis.pcall('SRANDMEMBER', 'crls-left-out', MOST_LISTS)
  if lists.err or #lists == MOST_LISTS then redis.call('DEL', 'crls-left-out') end
  for _, id in ipairs(lists.err and {} or lists) do
    if type(redis.pcall('HGET', 'crl:' .. id, 'issuer')) == 'string' then touch_crl(id, micros) else redis.pcall('SREM', 'crls-left-out', id) end
  end
end

for i = 1, #sealed, 32 do
  local serial = string.sub(sealed, i, i + 31)
  local not_after = redis.pcall('HGET', 'certificate:' .. serial, 'not_after')
  ends = math.max(ends, type(not_after) == 'string' and tonumber(not_after) or NO_END)
  end_waiting(serial)
end
if sealed ~= '' then
  if seal ~= '' then add_proof(seal, sealed, math.min(ends, NO_END) + KEPT, micros) end
  touch_left_out()
  drop_ended_proofs(now)
end
return {'ok'}
