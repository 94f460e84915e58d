-- The server says that it writes the host's ledger. It is the only one while it says so again within the lease.
-- keys: ledger:<host>
-- arguments: host, run of the server, its place (machine's boot and ledger folder) or '', words on it, lease in seconds
-- result: ok | conflict (another server writes it)
-- uses: common
local host, run, place, about, lease = unpack(ARGV)
local key = 'ledger:' .. host
local now = now_parts()
local writer = redis.call('HMGET', key, 'writer', 'writer_place', 'writer_seen')
local is_same = writer[1] == run or (place ~= '' and writer[2] == place)
local age = now - tonumber(writer[3] or '0')
if writer[1] and not is_same and age >= 0 and age <= tonumber(lease) then
  return {'conflict', 'another server writes the ledger of ' .. host}
end
redis.call('HSET', key, 'writer', run, 'writer_place', place, 'writer_about', about, 'writer_seen', now)
return {'ok'}
