-- A zone moves away, or comes back, by what DNS shows.
-- uses: zone, edge, right

-- `ends`: since when (seconds) it is known not to be here.
local function withdraw_zone(id, zone, ends, micros, tells_edges)
  note_held(zone, ends)
  if redis.call('HGET', 'zone-name:' .. zone.name, 'active') == id then
    redis.call('HDEL', 'zone-name:' .. zone.name, 'active')
  end
  move_zone(id, 'active', 'moved', micros)
  if tells_edges then add_edge_event(micros, 'event', 'zone-withdrawn', 'zone', id, 'name', zone.name) end
end

-- The zone was active until that moment (ms), or may have been: a Redis that went back does not know that it ever was.
local function replay_end_of_hold(zone, at)
  note_held(zone, math.floor(at / 1000))
end

-- What a record says that is replayed: a newer check, and a newer record, know better.
local function replay_delegated(id, zone, is_here, at, now, micros, tells_edges)
  local is_known_better = tonumber(zone.checked or '0') * 1000 > at or not is_newer(zone.delegated_at, at, not is_here)
  if is_known_better then return end
  local key = 'zone:' .. id
  redis.call('HSET', key, 'delegated_at', moment(at))
  -- The check that it tells of: what an order was shown before that counts no more (lib/rights.lua).
  local checked = math.max(math.floor(at / 1000), tonumber(zone.checked or '0'))
  if zone.status ~= 'deleted' then redis.call('HSET', key, 'checked', checked, 'negatives', is_here and 0 or 1) end
  if zone.status == 'paused' and (zone.resumes == 'active' or zone.resumes == 'moved') then
    redis.call('HSET', key, 'resumes', is_here and 'active' or 'moved')
  elseif zone.status == 'active' and not is_here then
    withdraw_zone(id, zone, math.floor(at / 1000), micros, tells_edges)
    redis.call('ZADD', 'zones-due', now, id)
  elseif zone.status == 'moved' and is_here and not redis.call('HGET', 'zone-name:' .. zone.name, 'active') then
    redis.call('HSET', 'zone-name:' .. zone.name, 'active', id)
    move_zone(id, 'moved', 'active', micros)
    redis.call('ZADD', 'zones-due', now, id)
  end
end
