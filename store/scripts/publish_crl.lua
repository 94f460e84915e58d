-- A list that was made anew. Its number is higher than every one before; it is of a Redis that all hosts have compared with
-- their ledgers, the same that its entries were read from. Entries whose certificates had ended when it was made were on it
-- once more, and leave.
-- keys: crl-lists, crl:<id>, crl-der:<id>, crl-entries:<id>, crls-due, crls-published, crls-sequence, ledger-hosts, ledger:<host>,
--   ledger-ahead:<host>
-- arguments: issuer, url, number, this_update, next_update, number of entries, when reading began in µs ('0': it is another host's or an
--   earlier Redis's, which a Redis that went back has forgotten), run of Redis, DER, host, sequence of
--   the list's record
-- result: ok | conflict
-- uses: crl, run, ledger
local issuer, url, number, this_update, next_update, entries, begun, run, der, host = unpack(ARGV, 1, 10)
mark_applied(host, {unpack(ARGV, 11)})
local _, micros = now_parts()
local id = find_crl(issuer, url)
local key = 'crl:' .. id
local last = redis.call('HMGET', key, 'number', 'changed')
if tonumber(number) <= tonumber(last[1] or '0') then return {'conflict', 'a newer one is there'} end
local now_run = run_of_redis()
if (begun ~= '0' and run ~= now_run) or #hosts_missing(now_run) > 0 then
  return {'conflict', 'Redis was started again meanwhile, and is compared with the ledgers first'}
end
local sequence = tonumber(redis.call('GET', 'crls-sequence') or '0') + 1
redis.call('SET', 'crls-sequence', string.format('%d', sequence))
redis.call('HSET', key, 'number', number, 'this_update', this_update, 'next_update', next_update, 'entries', entries,
           'published', string.format('%.0f', micros / 1000), 'bytes', #der)
redis.call('HDEL', key, 'claimed', 'claimed_by')
redis.call('SET', 'crl-der:' .. id, der)
redis.call('ZADD', 'crls-published', sequence, id)
if begun == '0' then return {'ok'} end
redis.call('ZREMRANGEBYSCORE', 'crl-entries:' .. id, '-inf', '(' .. this_update)
local half_ms = (tonumber(this_update) + tonumber(next_update)) * 500
local changed = tonumber(last[2] or '0')
redis.call('ZADD', 'crls-due', string.format('%.0f', changed >= tonumber(begun) and changed / 1000 or half_ms), id)
return {'ok'}
