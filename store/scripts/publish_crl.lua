-- A list that was made anew. Its number is higher than every one before, but for one that the caller has found to be none of ours;
-- it is of a Redis that all hosts have compared with
-- their ledgers, the same that its entries were read from. Entries whose certificates had ended when it was made were on it
-- once more, and leave.
-- keys: crl-lists, crl:<id>, crl-der:<id>, crl-entries:<id>, crl-replaced:<id>, crls-due, crls-published, crls-sequence,
--   crls-left-out, ledger-hosts, ledger:<host>, ledger-ahead:<host>
-- arguments: issuer, url, number, this_update, next_update, number of entries, changes that were counted when reading began ('':
--   it is another host's or an earlier Redis's, which a Redis that went back has forgotten), run of Redis, DER, the number that need
--   not be respected ('0': none), the highest number that a list may have now, how many of its entries no ledger is known to have,
--   how many of these are left out, host, sequence of the list's record
-- result: ok | conflict
-- uses: crl, run, ledger
local issuer, url, number, this_update, next_update, entries, changes, run, der, refused, ceiling, unproven, left_out, host =
  unpack(ARGV, 1, 14)
mark_applied(host, {unpack(ARGV, 15)})
local _, micros = now_parts()
local id = find_crl(issuer, url)
local key = 'crl:' .. id
local last = redis.call('HMGET', key, 'number', 'floor')
local last_number = crl_count(last[1])
if tonumber(number) <= last_number and last_number ~= tonumber(refused) then return {'conflict', 'a newer one is there'} end
if tonumber(number) < crl_floor(last[2], tonumber(ceiling)) then
  return {'conflict', 'a newer one was signed, which this Redis has forgotten'}
end
local now_run = run_of_redis()
if (changes ~= '' and run ~= now_run) or #hosts_missing(now_run) > 0 then
  return {'conflict', 'Redis was started again meanwhile, and is compared with the ledgers first'}
end
local newest = redis.pcall('ZRANGE', 'crls-published', '+inf', '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 1, 'WITHSCORES')
local counted = redis.pcall('GET', 'crls-sequence')
if newest.err or type(counted) == 'table' then counted = tostring(CRL_NUMBER_NEVER) end
local sequence = math.max(crl_count(counted), tonumber(newest[2] or '0'))
if sequence >= CRL_NUMBER_NEVER / 2 then -- that is no count of ours: hosts look at all of them from time to time
  redis.call('DEL', 'crls-published')
  sequence = 0
end
sequence = sequence + 1
redis.call('SET', 'crls-sequence', string.format('%.0f', sequence))
redis.call('HSET', key, 'number', number, 'this_update', this_update, 'next_update', next_update, 'entries', entries,
           'published', string.format('%.0f', micros / 1000), 'bytes', #der)
redis.call('HDEL', key, 'claimed', 'claimed_by', 'problem', 'problem_host', 'problem_ms')
redis.call('SET', 'crl-der:' .. id, der)
redis.call('ZADD', 'crls-published', sequence, id)
if changes == '' then
  -- It lacks what was revoked since, and nobody here knows what that is.
  redis.call('ZADD', 'crls-due', 'LT', string.format('%.0f', micros / 1000), id)
  return {'ok'}
end
redis.call('HSET', key, 'unproven', unproven, 'left_out', left_out)
if left_out == '0' then redis.pcall('SREM', 'crls-left-out', id) end
redis.call('ZREMRANGEBYSCORE', 'crl-entries:' .. id, '-inf', '(' .. this_update)
drop_replaced(id, changes)
local half_ms = (tonumber(this_update) + tonumber(next_update)) * 500
local due_ms = changes_of_crl(id) ~= changes and micros / 1000 or half_ms
redis.call('HSET', key, 'listed_changes', changes)
redis.call('ZADD', 'crls-due', string.format('%.0f', math.min(due_ms, half_ms)), id)
return {'ok'}
