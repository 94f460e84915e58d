-- A host has gone through all that waits for a proof. Which hosts there are that have ledgers, and since when each has gone through
-- all: under its seal, since hosts wait for each other with it.
-- keys: crl-provers, ledger-hosts, ledger:<host>
-- arguments: host, when it began with that in ms ('0': it only asks), seal
-- result: ok, {host, ms, seal, ...}; '0' and '' of a host that has not. One that is excused and not there is left out.
-- uses: run
if ARGV[2] ~= '0' and type(redis.pcall('HSET', 'crl-provers', ARGV[1], ARGV[2] .. ' ' .. ARGV[3])) == 'table' then
  redis.call('DEL', 'crl-provers')
  redis.call('HSET', 'crl-provers', ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
end
local run, flat = run_of_redis(), {}
for _, host in ipairs(redis.call('ZRANGE', 'ledger-hosts', 0, -1)) do
  local state = redis.call('HMGET', 'ledger:' .. host, 'verified', 'excused')
  if state[1] == run or state[2] ~= run then
    local said = redis.pcall('HGET', 'crl-provers', host)
    local ms, seal = string.match(type(said) == 'string' and said or '', '^(%d+) (%x*)$')
    flat[#flat + 1] = host
    flat[#flat + 1] = ms and #ms <= 15 and ms or '0'
    flat[#flat + 1] = seal or ''
  end
end
return {'ok', flat}
