-- Pages of an index, newest first, that stay exact while entries come and go: a cursor is "score,member" of the last
-- entry looked at. Bounded: looks at PAGE_BUDGET entries at most, so a page may be short and still have a next one.
-- uses: common
local PAGE_BUDGET = 2000

-- Byte order, as Redis sorts members of one score (Lua's < follows the locale).
local function sorts_before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- Calls take(member, score), which returns true (taken), false (not wanted) or nil (the object is gone: its index entry
-- goes too), until `limit` were taken. `top` is where to begin without a cursor. Returns the next cursor or ''.
local function walk_page(index, cursor, limit, top, take)
  local after_score, after_member = string.match(cursor, '^(%d+),(.+)$')
  local from, skip, looked, taken = after_score or top, 0, 0, 0
  local last, gone, ended = '', {}, false
  while taken < limit and looked < PAGE_BUDGET and not ended do
    local batch = redis.call('ZRANGE', index, from, '-inf', 'BYSCORE', 'REV', 'LIMIT', skip, 100, 'WITHSCORES')
    ended = #batch < 200
    skip = skip + #batch / 2
    for i = 1, #batch, 2 do
      if taken == limit then ended = false break end
      local member, score = batch[i], batch[i + 1]
      if after_score ~= score or sorts_before(member, after_member) then
        looked = looked + 1
        last = score .. ',' .. member
        local is_taken = take(member, score)
        if is_taken then taken = taken + 1 end
        if is_taken == nil then gone[#gone + 1] = member end
      end
    end
  end
  if #gone > 0 then redis.call('ZREM', index, unpack(gone)) end
  return ended and '' or last
end

-- A page of whole objects: accept(map) says which. The reply is {'ok', next cursor, {id, fields}, ...}.
local function object_page(prefix, index, cursor, limit, top, accept)
  local reply = {'ok', ''}
  reply[2] = walk_page(index, cursor, limit, top, function(id)
    local map, flat = load_hash(prefix .. id)
    if not map then return nil end
    if accept and not accept(map) then return false end
    reply[#reply + 1] = {id, flat}
    return true
  end)
  return reply
end
