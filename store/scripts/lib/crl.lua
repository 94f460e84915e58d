-- Certificate revocation lists: what each holds, and since when it waits to be made anew. A list is known by its issuer and the
-- URL that stands in certificates; each issuer has one without URL that holds everything. Lists are never forgotten: a
-- certificate may name them for years.
-- uses: common, unproven

-- A number that is none, or that no clock comes to, is told as this one: it is above all others, and every host refuses it.
local CRL_NUMBER_NEVER = 999999999999999

local function crl_count(text)
  if not text then return 0 end
  return #text <= 15 and string.match(text, '^%d+$') and tonumber(text) or CRL_NUMBER_NEVER
end

-- A number that a signer is known to have signed: nothing below it is published again. One above what any host takes is planted
-- and counts for nothing.
local function crl_floor(text, ceiling)
  local floor = crl_count(text)
  return floor <= ceiling and floor or 0
end

-- What can be a serial, and a list's issuer and URL: else it is none of ours.
local function is_serial(text)
  return #text == 32 and not string.find(text, '[^0-9a-f]')
end

local function is_crl_name(issuer, url)
  return issuer and url and #issuer <= 64 and string.find(issuer, '^[%w._-]+$') and #url <= 500 and
    (url == '' or string.find(url, '^http://[^%c\\" \127-\255]+$')) and true or false
end

-- Of a revoked serial nobody can read which list it belongs to: it is looked at again an hour later, and keeps no list waiting.
local CRL_LOOK_AGAIN_MS = 3600000
local function set_aside_serial(serial, now_ms)
  redis.call('ZADD', 'crl-unreadable', string.format('%.0f', now_ms), serial)
end

-- A key of another kind is somebody's doing, and made anew. Which list has which number each list says of itself; what was on one
-- is put back by the hosts whose ledgers have it, and what is not sorted yet from the certificates.
local GONE_IN_A_ROW = 100
local function mend_crl_names()
  if type(redis.pcall('HLEN', 'crl-lists')) == 'number' then return end
  redis.call('DEL', 'crl-lists')
  redis.call('SET', 'crls-adopted', 'revoked:0')
  local id, gone = 1, 0
  while gone < GONE_IN_A_ROW do
    local list = redis.pcall('HMGET', 'crl:' .. id, 'issuer', 'url')
    gone = gone + 1
    if not list.err and is_crl_name(list[1], list[2]) then
      redis.call('HSET', 'crl-lists', list[1] .. ' ' .. list[2], id)
      gone = 0
    end
    id = id + 1
  end
end

local function mend_crl_entries(id)
  if type(redis.pcall('ZCARD', 'crl-entries:' .. id)) == 'number' then return end
  redis.call('DEL', 'crl-entries:' .. id)
  redis.call('SET', 'crls-adopted', 'revoked:0')
end

local function find_crl(issuer, url)
  mend_crl_names()
  local name = issuer .. ' ' .. url
  local id = redis.call('HGET', 'crl-lists', name)
  if not id then
    -- Also where a name was lost: another list's entries must not become this one's.
    local count = redis.call('HLEN', 'crl-lists')
    repeat
      count = count + 1
      id = string.format('%d', count)
    until redis.call('EXISTS', 'crl:' .. id, 'crl-entries:' .. id) == 0
    redis.call('HSET', 'crl-lists', name, id)
    redis.call('HSET', 'crl:' .. id, 'issuer', issuer, 'url', url)
    redis.call('ZADD', 'crls-due', 0, id)
    return id
  end
  mend_crl_entries(id)
  local list = redis.pcall('HGET', 'crl:' .. id, 'issuer')
  if not list or type(list) == 'table' then -- what was said of it is gone, or no hash; its entries are kept elsewhere
    redis.call('DEL', 'crl:' .. id)
    redis.call('HSET', 'crl:' .. id, 'issuer', issuer, 'url', url)
    redis.call('ZADD', 'crls-due', 0, id)
  end
  return id
end

-- Until when the issuer has certificates: its lists are needed as long, whatever becomes of the configuration.
local function note_issuer_end(issuer, not_after)
  if issuer == '' then return end
  local key = 'crl:' .. find_crl(issuer, '')
  if crl_count(redis.call('HGET', key, 'issuer_end')) < not_after then
    redis.call('HSET', key, 'issuer_end', string.format('%.0f', not_after))
  end
end

-- Changes are counted, since clocks go back: a list has all that were counted when its reading began.
local function touch_crl(id, micros)
  local changes = redis.pcall('HINCRBY', 'crl:' .. id, 'changes', 1)
  if type(changes) == 'table' then -- find_crl mends what is no hash, and this what is no count
    changes = 1
    redis.pcall('HSET', 'crl:' .. id, 'changes', changes)
  end
  redis.call('ZADD', 'crls-due', 'LT', string.format('%.0f', micros / 1000), id)
  return changes
end

-- Entries that it must have were missing: it is made anew by whoever comes first, whoever had it or failed.
local function touch_crl_that_lacked(id, micros)
  touch_crl(id, micros)
  redis.call('HDEL', 'crl:' .. id, 'claimed', 'claimed_by', 'problem_ms')
end

local function changes_of_crl(id)
  return string.format('%.0f', crl_count(redis.call('HGET', 'crl:' .. id, 'changes')))
end

-- An entry that says something else of a serial stays beside the new one: whoever reads the list just now (scan_crl) finds one of
-- the two, and neither where one went while the other came. drop_replaced ends it.
local function note_replaced(id, former, changes)
  local key = 'crl-replaced:' .. id
  local added = redis.pcall('ZADD', key, changes, former)
  if type(added) == 'table' then
    redis.call('DEL', key)
    redis.call('ZADD', key, changes, former)
  end
end

-- Those that were replaced before the reading of the list that is published now: an earlier reading is not published any more.
local REPLACED_AT_ONCE, REPLACED_ROUNDS = 5000, 10
local function drop_replaced(id, changes)
  local key = 'crl-replaced:' .. id
  for _ = 1, REPLACED_ROUNDS do
    local found = redis.pcall('ZRANGE', key, '-inf', changes, 'BYSCORE', 'LIMIT', 0, REPLACED_AT_ONCE)
    if found.err then redis.call('DEL', key) end
    if found.err or #found == 0 then return end
    redis.call('ZREM', 'crl-entries:' .. id, unpack(found))
    redis.call('ZREM', key, unpack(found))
  end
end

local function put_crl_member(id, member, former, not_after, micros)
  local entries, replaced = 'crl-entries:' .. id, 'crl-replaced:' .. id
  redis.pcall('ZREM', replaced, member)
  local is_another = former and former ~= member and redis.call('ZSCORE', entries, former)
  local is_noted = is_another and type(redis.pcall('ZSCORE', replaced, former)) == 'string'
  local is_new = redis.call('ZADD', entries, not_after, member) == 1
  if not is_new and (not is_another or is_noted) then return end
  local changes = touch_crl(id, micros)
  if is_another and not is_noted then note_replaced(id, former, changes) end
end

-- Also on the lists that a revocation names: where it says something else than the certificate, the signer that recorded it lets out
-- none of these without the serial, and it does no harm there.
local function put_crl_also(serial, issuer, url, revoked_at, reason, not_after, micros)
  if issuer == '' then return end
  local former, member = redis.call('HGET', 'certificate:' .. serial, 'entry'), serial .. ':' .. revoked_at .. ':' .. reason
  put_crl_member(find_crl(issuer, ''), member, former, not_after, micros)
  if url ~= '' then put_crl_member(find_crl(issuer, url), member, former, not_after, micros) end
  wait_for_proof(serial, micros)
end

-- Puts a serial on the lists that have to have it: its issuer's complete one, and the one that its certificate names (`url`,
-- or the certificate's field `crl`). Where only the certificate's DER can tell, who reads it calls again (crl-unsorted).
-- An entry that the list has already is left, one with another reason replaced.
local function put_crl_entry(serial, issuer, url, revoked_at, reason, not_after, micros)
  if issuer == '' then return end
  local key = 'certificate:' .. serial
  local known = redis.call('HMGET', key, 'entry', 'crl')
  local member = serial .. ':' .. revoked_at .. ':' .. reason
  local complete = find_crl(issuer, '')
  local list = url ~= '' and find_crl(issuer, url) or known[2]
  put_crl_member(complete, member, known[1], not_after, micros)
  if list and list ~= complete then put_crl_member(list, member, known[1], not_after, micros) end
  -- Also where it is there already: somebody may have put it there, and now a ledger has it.
  wait_for_proof(serial, micros)
  if list then
    redis.call('HSET', key, 'crl', list)
  elseif redis.call('HEXISTS', key, 'der') == 1 then
    redis.call('SADD', 'crl-unsorted', serial)
  end
  if known[1] ~= member then redis.call('HSET', key, 'entry', member, 'listed_ms', string.format('%.0f', micros / 1000)) end
end
