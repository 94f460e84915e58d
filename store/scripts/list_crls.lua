-- Lists that were published after the sequence that the caller knows, oldest first; with the sequence 0 also those that never
-- were. What is no number in Redis is told as one that nobody takes: one bad list must not hide the others.
-- keys: crls-published, crl-lists, crl:<id>
-- arguments: sequence, limit
-- result: ok, {id, fields, sequence} ...
-- uses: crl
local TEXTS = {'issuer', 'url', 'problem', 'problem_host'}
local COUNTS = {'number', 'this_update', 'next_update', 'entries', 'bytes', 'issuer_end', 'floor', 'unproven', 'left_out'}
local limit, reply, known = tonumber(ARGV[2]), {'ok'}, {}
local function add(id, sequence)
  local texts = redis.pcall('HMGET', 'crl:' .. id, unpack(TEXTS))
  local counts = redis.pcall('HMGET', 'crl:' .. id, unpack(COUNTS))
  known[id] = true
  if texts.err or counts.err or not is_crl_name(texts[1], texts[2]) then return end
  local flat = {}
  for i, name in ipairs(TEXTS) do flat[2 * i - 1], flat[2 * i] = name, texts[i] or '' end
  for i, name in ipairs(COUNTS) do
    flat[#flat + 1] = name
    flat[#flat + 1] = string.format('%.0f', crl_count(counts[i]))
  end
  reply[#reply + 1] = {id, flat, string.format('%.0f', math.max(0, math.min(sequence, CRL_NUMBER_NEVER)))}
end
local found = redis.pcall('ZRANGE', 'crls-published', '(' .. ARGV[1], '+inf', 'BYSCORE', 'LIMIT', 0, limit, 'WITHSCORES')
if found.err then found = {} end
for i = 1, #found, 2 do add(found[i], tonumber(found[i + 1]) or 0) end
if ARGV[1] == '0' then
  mend_crl_names()
  local lists = redis.call('HGETALL', 'crl-lists')
  for i = 2, #lists, 2 do
    if not known[lists[i]] and #reply <= limit then add(lists[i], 0) end
  end
end
return reply
