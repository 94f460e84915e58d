-- The run of Redis that answers, and which hosts have shown that it lacks nothing of their ledgers. A Redis that was started
-- again, or another one that took over, has another run id: it may hold older data than the one before.
local function run_of_redis()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
end

-- Hosts whose ledger nobody has compared with this run's data, and whom no operator has excused.
local function hosts_missing(run)
  local missing = {}
  for _, host in ipairs(redis.call('ZRANGE', 'ledger-hosts', 0, -1)) do
    local state = redis.call('HMGET', 'ledger:' .. host, 'verified', 'excused')
    if state[1] ~= run and state[2] ~= run then missing[#missing + 1] = host end
  end
  return missing
end

-- Certificates that become known from now on get numbers (lib/certificate.lua) above all that were given before, also by data
-- that this Redis has lost: the clock in μs runs ahead of them. What was counted before means other ones now, or may.
local function begin_numbers(micros)
  local base = string.format('%.0f', math.max(tonumber(redis.call('GET', 'certificates-recorded') or '0') + 1, micros))
  redis.call('SET', 'certificates-recorded', base)
  redis.call('SET', 'certificates-recorded-base', base)
end

-- Nonces of this second and before count no more: what was spent may be forgotten. So do DNS checks that have not led to a
-- certificate: whom the name was given to since may be forgotten, too.
local function end_what_was_before(now)
  redis.call('SET', 'nonces:not-before', now + 1)
  redis.call('SET', 'ledger-checks-since', now + 1)
end
