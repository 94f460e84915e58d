-- Jobs that revoke many certificates: whose they are for how long, and their end.
-- uses: common, selection

local function now_ms()
  local _, micros = now_parts()
  return math.floor(micros / 1000)
end

-- The job where it is running and this process's, whose lease begins afresh; nil and why not.
local function hold_bulk(id, holder, host, lease)
  local key = 'bulk:' .. id
  local job = load_hash(key)
  if not job then return nil, 'the job is not here any more' end
  if job.state ~= 'running' then return nil, 'the job is ' .. job.state end
  if job.holder ~= holder then return nil, 'the job is another process\'s' end
  redis.call('HSET', key, 'host', host, 'lease', string.format('%.0f', now_ms() + lease))
  return job
end

-- It stays listed as long as evidence does.
local function end_bulk(id, state, retention, by)
  local key, now = 'bulk:' .. id, now_parts()
  local serials = redis.call('HGET', key, 'serials')
  redis.call('HSET', key, 'state', state, 'ended', now)
  if by ~= '' then redis.call('HSET', key, 'ended_by', by) end
  redis.call('HDEL', key, 'holder', 'lease')
  redis.call('ZREM', 'bulk-open', id)
  redis.call('EXPIREAT', key, string.format('%.0f', now + retention))
  if serials then release_list(serials, id) end
end
