-- Some entries that wait for a proof. What waits all the while comes at least once.
-- keys: crl-unproven
-- arguments: cursor ('0' to begin), about how many, after how many ms of waiting one counts, only those that wait since this ms or
--   longer ('0': all)
-- result: ok, next cursor ('0': that was all), the clock in ms, how many count, serials {...}
-- uses: crl
local _, micros = now_parts()
local now_ms = math.floor(micros / 1000)
local found = redis.pcall('ZSCAN', 'crl-unproven', ARGV[1], 'COUNT', ARGV[2])
if found.err then
  redis.call('DEL', 'crl-unproven')
  return {'ok', '0', string.format('%.0f', now_ms), 0, {}}
end
local until_ms, serials = tonumber(ARGV[4]), {}
for i = 1, #found[2], 2 do
  local serial, since = found[2][i], tonumber(found[2][i + 1])
  if not is_serial(serial) then
    redis.call('ZREM', 'crl-unproven', serial)
  elseif until_ms == 0 or since <= until_ms then
    serials[#serials + 1] = serial
  end
end
-- One of the future is somebody's doing: it waits for nothing.
local count = redis.call('ZCOUNT', 'crl-unproven', '-inf', now_ms - tonumber(ARGV[3])) +
  redis.call('ZCOUNT', 'crl-unproven', string.format('(%.0f', now_ms + 60000), '+inf')
return {'ok', found[1], string.format('%.0f', now_ms), count, serials}
