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

-- Nonces of this second and before count no more: what was spent may be forgotten.
local function end_nonces(now)
  redis.call('SET', 'nonces:not-before', now + 1)
end
