-- The fence: marks ledger records of a host as applied and moves the watermark over contiguous ones. A mark is
-- "sequence", "sequence:hash" or "sequence:hash:after"; `after` is the record before it where the ledger lacks those in
-- between (an operator accepted their loss). The watermark keeps the hash of its record.
local function mark_applied(host, marks)
  if host == '' then return end
  local key, ahead = 'ledger:' .. host, 'ledger-ahead:' .. host
  local applied = tonumber(redis.call('HGET', key, 'applied') or '0')
  local before, newest = applied, ''
  for _, mark in ipairs(marks) do
    local text, hash, after = string.match(mark, '^(%d+):?(%x*):?(%d*)$')
    local sequence = tonumber(text)
    if sequence > applied and (sequence == applied + 1 or (after ~= '' and tonumber(after) <= applied)) then
      applied, newest = sequence, hash
    elseif sequence > applied then
      redis.call('ZADD', ahead, sequence, text .. ':' .. hash)
    end
  end
  while true do
    local next = redis.call('ZRANGE', ahead, 0, 0, 'WITHSCORES')
    if #next == 0 or tonumber(next[2]) > applied + 1 then break end
    local sequence, hash = tonumber(next[2]), string.match(next[1], ':(%x+)$') or ''
    if sequence > applied then
      applied, newest = sequence, hash
    elseif sequence == applied and newest == '' then
      newest = hash -- the same record, marked by one who did not know its hash and by one who did
    end
    redis.call('ZREM', ahead, next[1])
  end
  if applied ~= before then redis.call('HSET', key, 'applied', string.format('%.0f', applied), 'hash', newest) end
end
