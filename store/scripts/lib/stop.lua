-- Stops of issuance by an operator (doc/rights.md, "Stops"): of everything, of an issuer, of a customer, of a zone. Looked up in
-- each script that acts; what is refused by one may be tried again when it has ended.
-- ledger-stops: '*' or the name of an issuer -> "moment(ms) 1|0 by", the newest word.
-- uses: right

local function set_issuer_stopped(issuer, is_stopped, at, by)
  local known = redis.call('HGET', 'ledger-stops', issuer)
  local last = known and string.match(known, '^%d+')
  if not is_newer(last, at, is_stopped) then return end
  redis.call('HSET', 'ledger-stops', issuer, moment(at) .. (is_stopped and ' 1 ' or ' 0 ') .. by)
end

local function is_issuer_stopped(issuer)
  local word = redis.call('HGET', 'ledger-stops', issuer)
  return word and string.match(word, '^%d+ 1 ') ~= nil
end

-- Are all issuers stopped that it could come from? `issuers` has blanks between; '' is not known.
local function are_issuers_stopped(issuers)
  local is_any = false
  for issuer in string.gmatch(issuers, '%S+') do
    if not is_issuer_stopped(issuer) then return false end
    is_any = true
  end
  return is_any
end

local function stop_reply(text)
  return {'stopped', 'Issuance is stopped ' .. text}
end

-- nil, or the refusal {'stopped', which}, for a customer ('' is none), zones (ids with blanks between) and issuers.
local function stop_of(customer, zones, issuers)
  if is_issuer_stopped('*') then
    return stop_reply('for everybody by the operator of this certificate authority; try again later')
  end
  if are_issuers_stopped(issuers) then
    return stop_reply('for the issuer ' .. string.gsub(issuers, ' ', ' and ') .. ' by the operator of this certificate ' ..
      'authority; try again later')
  end
  if customer ~= '' and redis.call('HGET', 'customer:' .. customer, 'suspended') then
    return stop_reply('for this customer; ask your provider')
  end
  for id in string.gmatch(zones, '%S+') do
    local zone = redis.call('HMGET', 'zone:' .. id, 'status', 'name', 'customer')
    -- Without customer it is somebody's zone all the same.
    if customer == '' and zone[3] and redis.call('HGET', 'customer:' .. zone[3], 'suspended') then
      return stop_reply('for the customer of the zone ' .. zone[2])
    end
    if zone[1] == 'paused' then return stop_reply('for the zone ' .. zone[2] .. ': it is paused; resume it at your provider') end
  end
  return nil
end
