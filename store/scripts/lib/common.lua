-- What most scripts need: the clock of Redis, a hash as a table, writing many fields.
local function now_parts()
  local time = redis.call('TIME')
  return tonumber(time[1]), tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- The hash as a table and as the flat list that goes into a reply; nil and {} where there is none.
local function load_hash(key)
  local flat = redis.call('HGETALL', key)
  if #flat == 0 then return nil, flat end
  local map = {}
  for i = 1, #flat, 2 do map[flat[i]] = flat[i + 1] end
  return map, flat
end

-- HSET of list[first ...], in pieces because Lua's stack is bounded.
local function set_fields(key, list, first)
  for i = first, #list, 1000 do
    redis.call('HSET', key, unpack(list, i, math.min(i + 999, #list)))
  end
end

-- Objects leave Redis by store_sweep, which also trims their indexes; a day later Redis drops them by itself.
local SWEEP_GRACE = 86400
local function expire_at(key, ends)
  redis.call('EXPIREAT', key, ends + SWEEP_GRACE)
end
