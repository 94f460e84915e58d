-- Takes from limits, all or none. A limit of mode "take" is a rate that this takes from, one of mode "room" must have room for
-- the cost, which note_failures takes afterwards, and a "pause" must be over.
--
-- A certificate whose renewal is due lets one order pass at the cost for exempt orders. The exemption is held by
-- limit:renewal:<serial> while that order is checked, and used up for good by the order that is made (`replacing`,
-- create_order); where none is made note_failures gives it back. A certificate that replaced another one exempts only once it is
-- older than the longest window, and not where its own holder revoked it: else renewals of renewals had no bound.
-- keys: limit:<kind>:<subject>, limit:renewal:<serial>, certificate:<serial>, order:<id>
-- arguments: serial of the certificate whose renewal is due or '', milliseconds that it is held,
--   {kind, mode, cost, cost where exempt, allowed or longest pause, window in seconds, number of subjects, subject ...} ...
-- result: ok, number of the limit that is exceeded (0: none), milliseconds until it has room, 1 where the order is exempt
-- uses: common, limit
local _, micros = now_parts()
local now = math.floor(micros / 1000)
local serial = ARGV[1]
local keys, longest, at = {}, 0, 3
while at <= #ARGV do
  local kind, count = 'limit:' .. ARGV[at] .. ':', ARGV[at + 6]
  if ARGV[at + 1] == 'take' then longest = math.max(longest, tonumber(ARGV[at + 5])) end
  for i = at + 7, at + 6 + count do keys[#keys + 1] = kind .. ARGV[i] end
  at = at + 7 + count
end

local function exempts()
  if serial == '' or redis.call('EXISTS', 'limit:renewal:' .. serial) == 1 then return false end
  local fields = {'status', 'replacing', 'replaced_by', 'order', 'issued', 'by'}
  local status, replacing, replaced_by, order, issued, by =
    unpack(redis.call('HMGET', 'certificate:' .. serial, unpack(fields)))
  if not status or replacing or replaced_by then return false end
  local made, replaces = unpack(redis.call('HMGET', 'order:' .. (order or ''), 'created', 'replaces_serial'))
  if made and not replaces then return true end
  local is_self_revoked = status == 'revoked' and string.sub(by or '', 1, 5) ~= 'admin'
  return not (replaces and is_self_revoked) and tonumber(issued or '0') <= now / 1000 - longest
end

local is_exempt, taken, held, number = exempts(), {}, redis.call('MGET', unpack(keys)), 0
at = 3
while at <= #ARGV do
  local mode, cost, exempt_cost, allowed, window, count = unpack(ARGV, at + 1, at + 6)
  cost, allowed, window = tonumber(is_exempt and exempt_cost or cost), tonumber(allowed), tonumber(window)
  for _ = 1, count do
    number = number + 1
    if mode == 'pause' then
      local ends = math.min(paused_until(held[number]), now + allowed * 1000)
      if ends > now then return {'ok', number, ends - now, 0} end
    elseif cost > 0 then
      local ends = filled_until(held[number], cost, allowed, window, now)
      local over = ends - now - window * 1000
      if over > 0 then return {'ok', number, math.ceil(over), 0} end
      if mode == 'take' then taken[#taken + 1] = {keys[number], ends} end
    end
  end
  at = at + 7 + count
end
for _, each in ipairs(taken) do fill(each[1], each[2], now) end
if is_exempt then redis.call('SET', 'limit:renewal:' .. serial, '1', 'PX', ARGV[2]) end
return {'ok', 0, 0, is_exempt and 1 or 0}
