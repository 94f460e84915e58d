-- The fence: marks ledger sequences of a host as applied and moves the watermark over contiguous ones.
local function mark_applied(host, sequences)
  if host == '' then return end
  local key, ahead = 'ledger:' .. host, 'ledger-ahead:' .. host
  local applied = tonumber(redis.call('HGET', key, 'applied') or '0')
  local before = applied
  for _, text in ipairs(sequences) do
    local sequence = tonumber(text)
    if sequence == applied + 1 then
      applied = sequence
    elseif sequence > applied then
      redis.call('ZADD', ahead, sequence, text)
    end
  end
  while true do
    local next = redis.call('ZRANGE', ahead, 0, 0, 'WITHSCORES')
    if #next == 0 or tonumber(next[2]) > applied + 1 then break end
    applied = math.max(applied, tonumber(next[2]))
    redis.call('ZREM', ahead, next[1])
  end
  if applied ~= before then redis.call('HSET', key, 'applied', string.format('%.0f', applied)) end
end
