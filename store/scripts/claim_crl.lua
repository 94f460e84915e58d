-- The list that waits longest to be made anew, for the caller alone while the lease lasts. None while a revocation is not sorted.
-- Nothing that cannot be read keeps the rest waiting: it is left out, or set aside (lib/crl.lua).
-- keys: crls-due, crl-lists, crl:<id>, crl-unsorted, crl-unreadable, crls-adopted
-- arguments: delay in ms (so long a list waits for further changes), lease in ms, host, 1 where complete lists are made
-- result: ok, serials to be sorted {...}, how many are set aside, then of a list that is due: id, issuer, url, its last number, now
--   in µs, run of Redis, its floor (lib/crl.lua)
-- uses: crl, run
local delay, lease, host = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local _, micros = now_parts()
local now_ms = math.floor(micros / 1000)

local function take_unsorted()
  local found, serials = redis.pcall('SRANDMEMBER', 'crl-unsorted', 100), {}
  if found.err then -- no set: all revocations are looked through once more
    redis.call('DEL', 'crl-unsorted')
    redis.call('SET', 'crls-adopted', 'revoked:0')
    return serials
  end
  for _, serial in ipairs(found) do
    if is_serial(serial) then
      serials[#serials + 1] = serial
    else
      redis.call('SREM', 'crl-unsorted', serial)
      set_aside_serial(serial, now_ms)
    end
  end
  return serials, #found > #serials
end

local function look_again_at_aside()
  local due = redis.pcall('ZRANGE', 'crl-unreadable', '-inf', now_ms - CRL_LOOK_AGAIN_MS, 'BYSCORE', 'LIMIT', 0, 20)
  if due.err then
    redis.call('DEL', 'crl-unreadable')
    redis.call('SET', 'crls-adopted', 'revoked:0')
    return
  end
  for _, serial in ipairs(due) do
    set_aside_serial(serial, now_ms)
    if is_serial(serial) then
      redis.call('ZREM', 'crl-unreadable', serial)
      redis.call('SADD', 'crl-unsorted', serial)
    end
  end
end

local function due_lists()
  local due = redis.pcall('ZRANGE', 'crls-due', '-inf', now_ms - delay, 'BYSCORE', 'LIMIT', 0, 200)
  if not due.err then return due end
  redis.call('DEL', 'crls-due') -- nobody knows which are due: all of them
  local lists = redis.call('HGETALL', 'crl-lists')
  for i = 2, #lists, 2 do redis.call('ZADD', 'crls-due', 0, lists[i]) end
  return {}
end

local serials, has_more
repeat serials, has_more = take_unsorted() until #serials > 0 or not has_more
if #serials == 0 then look_again_at_aside() end
local aside = redis.call('ZCARD', 'crl-unreadable')
if #serials > 0 then return {'ok', serials, aside} end
for _, id in ipairs(due_lists()) do
  local list = redis.pcall('HMGET', 'crl:' .. id, 'issuer', 'url', 'number', 'claimed', 'floor')
  local claimed = crl_count(list[4])
  if list.err or not is_crl_name(list[1], list[2]) or (list[2] == '' and ARGV[4] == '0') then
    redis.call('ZREM', 'crls-due', id)
  elseif claimed < now_ms or claimed > now_ms + 2 * lease then -- nobody claims for so long
    -- Behind all others until the lease ends: one that cannot be made never keeps the rest waiting.
    redis.call('ZADD', 'crls-due', string.format('%.0f', now_ms + lease - delay), id)
    redis.call('HSET', 'crl:' .. id, 'claimed', string.format('%.0f', now_ms + lease), 'claimed_by', host)
    return {'ok', {}, aside, id, list[1], list[2], string.format('%.0f', crl_count(list[3])), string.format('%.0f', micros),
            run_of_redis(), string.format('%.0f', crl_count(list[5]))}
  else
    redis.call('ZADD', 'crls-due', string.format('%.0f', claimed - delay), id) -- many of these hide no other
  end
end
return {'ok', {}, aside}
