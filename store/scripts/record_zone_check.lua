-- Records a DNS check of a zone and what follows for its status: pending or moved -> active when it held; active -> moved
-- after `moved_after` definite negatives in a row, of one that is in doubt (doubt_zone) after the first; whoever becomes active by the newest check takes the name from another
-- customer's zone. What was seen of the delegation is written down (lib/delegation.lua).
-- keys: zone:<id>, zone-name:<name>, name-sets:<name>, zones:<status>, zones-due, zones-by-name, edge-events, edge-sequence
-- arguments: id, is_ok, is_definite_no (2: inferred, no server showed it), reason, evidence, checked_at, moved_after, seconds to the next check of a pending
--   zone, of another zone, whether certificates of a moved zone leave the edges, periodic checks a second,
--   whether the parent told the delegation, the servers that it names (blanks between), hold, release, seconds between looks,
--   number of rights or -1 (nothing needs a record), the rights (lib/right.lua) ...
-- result: ok, id, fields, {} | ok, id, fields, {kind, zone ...} (nothing was changed: these rights are to be recorded first) |
--   notfound
-- uses: common, zone, zones_below, edge, delegation, proof, delegated
local LOST_PAUSE = 2 -- seconds until DNS is asked again after a check that came too late to count
local id, is_ok, is_no, reason, evidence = ARGV[1], ARGV[2] == '1', ARGV[3] ~= '0', ARGV[4], ARGV[5]
local checked = tonumber(ARGV[6])
local rights, at = {}, 18
local right_count = tonumber(ARGV[17])
for _ = 1, right_count do
  local right
  right, at = take_right(at)
  rights[right.kind .. ' ' .. right.subject] = right
end
local key = 'zone:' .. id
local zone, flat = load_hash(key)
if not zone or zone.status == 'deleted' then return {'notfound', 'no such zone'} end
local last = tonumber(zone.checked or '0')
if checked < last or (checked == last and zone.evidence == evidence and zone.reason == reason) then
  return {'ok', id, flat, {}} -- an older check, or this one repeated
end
local now, micros = now_parts()
local negatives = is_ok and 0 or tonumber(zone.negatives or '0') + (is_no and 1 or 0)
local status = zone.status
local other = is_ok and redis.call('HGET', 'zone-name:' .. zone.name, 'active')
local of_other = redis.call('HMGET', 'zone:' .. (other or ''), 'checked', 'negatives')
-- Nor does one count that was under way when Redis went back.
local is_lost = is_ok and checked < checks_not_before()
-- A check that was under way while another customer's newer one held has lost, also where his zone has ended since: DNS has
-- changed.
local is_stale = is_lost or (other and tonumber(of_other[1] or '0') > checked and (of_other[2] or '0') == '0') or
  (status ~= 'active' and held_by_others(zone.name, zone.customer) > checked)
local becomes_active = is_ok and not is_stale and (status == 'pending' or status == 'moved')
local moves_away = status == 'active' and is_no and (zone.doubted or negatives >= tonumber(ARGV[7]))

-- What takes a right, or gives one back, stands in the ledger before it happens.
local needed = {}
local function need(kind, zone_id)
  local right = rights[kind .. ' ' .. zone_id]
  if right then
    redis.call('HSET', 'zone:' .. zone_id, 'delegated_at', moment(right.at))
  elseif right_count >= 0 then
    needed[#needed + 1] = kind
    needed[#needed + 1] = zone_id
  end
end
if becomes_active and other and other ~= id then need('zone-moved', other) end
if (becomes_active and status == 'moved') or (is_ok and status == 'active' and zone.unrecorded) then need('zone-returned', id) end
if moves_away then need('zone-moved', id) end
if #needed > 0 then return {'ok', id, flat, needed} end

-- A check that told nothing, or not enough, leaves it to the next one.
local is_unrecorded = zone.unrecorded and not is_ok and not moves_away
if zone.unrecorded and not is_unrecorded then redis.call('HDEL', key, 'unrecorded') end
if ARGV[12] == '1' then
  local delegation = words(ARGV[13])
  if zone.blind and (#delegation == 0 or not is_within(delegation, words(zone.servers))) then
    redis.call('HDEL', key, 'blind')
    zone.blind = nil
  end
  note_delegation(zone.name, delegation, now, tonumber(ARGV[14]), tonumber(ARGV[15]), tonumber(ARGV[16]))
end
index_zone_name(id, zone.name, zone.customer) -- it may be older than the index
redis.call('HSET', key, 'checked', ARGV[6], 'reason', reason, 'evidence', evidence, 'negatives', negatives)
if is_ok or moves_away then redis.call('HDEL', key, 'doubted') end
if ARGV[3] == '2' then redis.call('HSET', key, 'inferred', '1') else redis.call('HDEL', key, 'inferred') end
if becomes_active then
  activate_zone(id, zone, checked, now, micros, ARGV[10] == '1')
  status = 'active'
elseif moves_away then
  withdraw_zone(id, zone, checked, micros, ARGV[10] == '1')
  status = 'moved'
end
if status ~= 'paused' then
  local pause = tonumber(ARGV[is_unrecorded and 8 or 9])
  if status == 'pending' then
    -- As often as wanted while the rate allows it for all that are pending; beyond that, those that were added lately
    -- come first, and one that nobody delegates comes ever more rarely, down to its fair share.
    local fair = redis.call('ZCARD', 'zones:pending') / (tonumber(ARGV[11]) * 0.8)
    local by_age = (now - tonumber(zone.created or now)) / 60
    pause = math.min(pause, math.max(tonumber(ARGV[8]), math.floor(math.min(fair, by_age))))
  end
  if is_lost then pause = math.min(pause, LOST_PAUSE) end
  redis.call('ZADD', 'zones-due', now + pause, id)
end
zone, flat = load_hash(key)
return {'ok', id, flat, {}}
