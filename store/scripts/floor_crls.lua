-- What a signer has signed last of each list, by its ledger: a Redis that went back has older ones, which come to nobody, and are
-- made anew at once.
-- keys: crl-lists, crl:<id>, crls-due
-- arguments: the highest number that a list may have now, then issuer, url, number ...
-- result: ok, of how many lists Redis has an older one or none
-- uses: crl
local ceiling, older = tonumber(ARGV[1]), 0
for i = 2, #ARGV, 3 do
  local id, number = find_crl(ARGV[i], ARGV[i + 1]), tonumber(ARGV[i + 2])
  local known = redis.call('HMGET', 'crl:' .. id, 'number', 'floor')
  if number <= ceiling and number > crl_floor(known[2], ceiling) then
    redis.call('HSET', 'crl:' .. id, 'floor', string.format('%.0f', number))
  end
  if crl_count(known[1]) < number then
    redis.call('ZADD', 'crls-due', 'LT', 0, id)
    older = older + 1
  end
end
return {'ok', older}
