-- Jobs that revoke many certificates: whose they are for how long, and their end.
-- uses: common, selection

local function now_ms()
  local _, micros = now_parts()
  return math.floor(micros / 1000)
end

-- The queue: those for keys that are compromised first (their score is in ms), then the others (in μs), each by when it was made
-- or last had its turn.
local KEY_COMPROMISE = '1'
local function queue_bulk(id, reason)
  local _, micros = now_parts()
  redis.call('ZADD', 'bulk-open', string.format('%.0f', reason == KEY_COMPROMISE and math.floor(micros / 1000) or micros), id)
end

-- find(id, reason, is_held) for the jobs of the queue until it returns true; a job that has ended leaves it, and so does what is
-- no job: whoever can write here keeps back no other.
local QUEUE_LOOKS = 200
local function look_through_queue(find)
  local now = now_ms()
  for _, id in ipairs(redis.call('ZRANGE', 'bulk-open', 0, QUEUE_LOOKS - 1)) do
    local known = redis.pcall('HMGET', 'bulk:' .. id, 'state', 'reason', 'holder', 'lease')
    if known[1] ~= 'running' then
      redis.call('ZREM', 'bulk-open', id)
    elseif find(id, known[2], known[3] and (tonumber(known[4]) or 0) >= now and known[3]) then
      return true
    end
  end
  return false
end

-- Does a job wait that has as good a claim to a place as this one?
local function has_rival(id, reason)
  return look_through_queue(function(other, its_reason, holder)
    return other ~= id and not holder and (its_reason == KEY_COMPROMISE or reason ~= KEY_COMPROMISE)
  end)
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
  local plan = redis.call('HGET', key, 'plan')
  redis.call('HSET', key, 'state', state, 'ended', now)
  if by ~= '' then redis.call('HSET', key, 'ended_by', by) end
  redis.call('HDEL', key, 'holder', 'lease')
  redis.call('ZREM', 'bulk-open', id)
  redis.call('EXPIREAT', key, string.format('%.0f', now + retention))
  if plan then redis.call('DEL', 'bulk-plan:' .. plan) end
end
