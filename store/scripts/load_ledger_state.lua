-- What of a host's ledger Redis has applied, and whether all hosts have shown that this run of Redis lacks nothing of theirs.
-- keys: ledger:<host>, ledger-ahead:<host>, ledger-hosts, nonces:not-before, format, ledger-secrets
-- arguments: host
-- result: ok, ledger id or '', applied, its hash or '', highest applied, its hash or '', format, run of Redis, run that this
--   host has verified or '', seconds until nonces of now are taken, {hosts}, {hosts that are missing}, what was found
--   missing or '', last record that a replay has applied or 0, seconds since nothing was found missing or -1,
--   seconds since the host was first seen or -1, checks of the secret files or '',
--   the writer's run, place, words on it or '', seconds since it said so or -1, how many are applied above `applied`, the clock
--   in ms
-- uses: common, run
local state = redis.call('HMGET', 'ledger:' .. ARGV[1], 'id', 'applied', 'hash', 'verified', 'lost', 'replayed', 'looked',
  'writer', 'writer_place', 'writer_about', 'writer_seen')
local ahead = redis.call('ZRANGE', 'ledger-ahead:' .. ARGV[1], -1, -1)[1]
local applied, hash = state[2] or '0', state[3] or ''
local highest, highest_hash = applied, hash
if ahead then highest, highest_hash = string.match(ahead, '^%d+'), string.match(ahead, ':(%x+)$') or '' end
local function age_of(moment)
  return moment and math.max(0, now_parts() - tonumber(moment)) or -1
end
local run = run_of_redis()
-- A host that is not among those that have ledgers compares its own anew: until then nobody waits for it.
local joined = redis.call('ZSCORE', 'ledger-hosts', ARGV[1])
local verified = joined and state[4] or ''
local secrets = redis.call('HMGET', 'ledger-secrets', 'secret_file', 'operator_secret_file')
local wait = tonumber(redis.call('GET', 'nonces:not-before') or '0') - now_parts()
return {'ok', state[1] or '', applied, hash, highest, highest_hash, redis.call('GET', 'format') or '1', run, verified,
        math.max(0, wait), redis.call('ZRANGE', 'ledger-hosts', 0, -1), hosts_missing(run), state[5] or '', state[6] or '0',
        age_of(state[7]), age_of(joined), secrets[1] or '', secrets[2] or '',
        state[8] or '', state[9] or '', state[10] or '', state[11] and now_parts() - tonumber(state[11]) or -1,
        redis.call('ZCARD', 'ledger-ahead:' .. ARGV[1]), string.format('%.0f', select(2, now_parts()) / 1000)}
