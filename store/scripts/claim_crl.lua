-- The list that waits longest to be made anew, for the caller alone while the lease lasts. None while a revocation is not sorted.
-- Nothing that cannot be read keeps the rest waiting: it is left out, or set aside (lib/crl.lua).
-- keys: crls-due, crl-lists, crl:<id>, crl-unsorted, crl-unreadable, crls-adopted
-- arguments: delay in ms (so long a list waits for further changes), lease in ms, host, 1 where complete lists are made,
--   issuers that the host has ...
-- result: ok, serials to be sorted {...}, how many are set aside, then of a list that is due: id, issuer, url, its last number, now
--   in µs, run of Redis, its floor, its changes (lib/crl.lua)
-- uses: crl, run
local delay, lease, host = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local _, micros = now_parts()
local now_ms = math.floor(micros / 1000)

-- Of one that is not here at all nobody could ever tell its list.
local function is_here(serial)
  return redis.call('EXISTS', 'certificate:' .. serial) == 1
end

local function take_unsorted()
  local found, serials = redis.pcall('SRANDMEMBER', 'crl-unsorted', 100), {}
  if found.err then -- no set: all revocations are looked through once more
    redis.call('DEL', 'crl-unsorted')
    redis.call('SET', 'crls-adopted', 'revoked:0')
    return serials
  end
  for _, serial in ipairs(found) do
    local is_good = is_serial(serial)
    if is_good and is_here(serial) then
      serials[#serials + 1] = serial
    else
      redis.call('SREM', 'crl-unsorted', serial)
      if not is_good then set_aside_serial(serial, now_ms) end
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

-- Of more than there are lists some are somebody's doing, and would hide those behind them.
local function drop_no_lists()
  mend_crl_names()
  local due = redis.pcall('ZCARD', 'crls-due')
  if type(due) ~= 'number' or due <= redis.call('HLEN', 'crl-lists') then return end
  local lists, scores = redis.call('HGETALL', 'crl-lists'), {}
  for i = 2, #lists, 2 do scores[lists[i]] = redis.call('ZSCORE', 'crls-due', lists[i]) end
  redis.call('DEL', 'crls-due')
  for id, score in pairs(scores) do if score then redis.call('ZADD', 'crls-due', score, id) end end
end

local DUE_AT_ONCE = 1000
local function due_lists()
  drop_no_lists()
  local due = redis.pcall('ZRANGE', 'crls-due', '-inf', now_ms - delay, 'BYSCORE', 'LIMIT', 0, DUE_AT_ONCE, 'WITHSCORES')
  if not due.err then return due end
  redis.call('DEL', 'crls-due') -- nobody knows which are due: all of them
  local lists = redis.call('HGETALL', 'crl-lists')
  for i = 2, #lists, 2 do redis.call('ZADD', 'crls-due', 0, lists[i]) end
  return {}
end

-- Many of these hide no other.
local function put_off(id, until_ms)
  redis.call('ZADD', 'crls-due', string.format('%.0f', until_ms - delay), id)
end

-- A list of an issuer that the host does not have is left to those that have it, for a lease at least; so is one that the host
-- could not make.
local is_own = {}
for i = 5, #ARGV do is_own[ARGV[i]] = true end
local function is_turn_of_others(list)
  local failed = crl_count(list[7])
  return list[6] == host and failed <= now_ms and failed + 2 * lease > now_ms and redis.call('ZCARD', 'ledger-hosts') > 1
end

local UNSORTED_ROUNDS = 200 -- of junk, for one call
local serials, has_more
for _ = 1, UNSORTED_ROUNDS do
  serials, has_more = take_unsorted()
  if #serials > 0 or not has_more then break end
end
if #serials == 0 then look_again_at_aside() end
local aside = redis.call('ZCARD', 'crl-unreadable')
if #serials > 0 or has_more then return {'ok', serials, aside} end
local due = due_lists()
for i = 1, #due, 2 do
  local id, since = due[i], tonumber(due[i + 1]) or 0
  local list = redis.pcall('HMGET', 'crl:' .. id, 'issuer', 'url', 'number', 'claimed', 'floor', 'problem_host', 'problem_ms')
  local claimed = crl_count(list[4])
  local is_claimed = claimed >= now_ms and claimed <= now_ms + 2 * lease -- nobody claims for longer
  if list.err or not is_crl_name(list[1], list[2]) or (list[2] == '' and ARGV[4] == '0') then
    redis.call('ZREM', 'crls-due', id)
  elseif is_claimed then
    put_off(id, claimed)
  elseif not is_own[list[1]] then
    if since <= now_ms - delay - lease then put_off(id, now_ms + lease) end
  elseif not is_turn_of_others(list) then
    -- Behind all others until the lease ends: one that cannot be made never keeps the rest waiting.
    put_off(id, now_ms + lease)
    redis.call('HSET', 'crl:' .. id, 'claimed', string.format('%.0f', now_ms + lease), 'claimed_by', host)
    return {'ok', {}, aside, id, list[1], list[2], string.format('%.0f', crl_count(list[3])), string.format('%.0f', micros),
            run_of_redis(), string.format('%.0f', crl_count(list[5])), changes_of_crl(id)}
  end
end
return {'ok', {}, aside}
