-- Rights that ledger records give and take away (doc/ledger.md, "Rights"). Records of several hosts are replayed in any order,
-- so the newest word counts, by its moment in ms; of two of one moment the one that takes away.
-- uses: ledger

-- ARGV[first ...] as store/right.c writes it. The record is marked as applied, and told to the other hosts where it is sealed:
-- what the script does follows in the same moment, and what it does not do it would not do later either. That an account ended is
-- told without a seal too: workers say so, to their own signer as well, and have none. So is that a zone came back, which only
-- keeps certificates from being revoked.
local RIGHT_FIELDS = {'kind', 'subject', 'name', 'customer', 'detail', 'at', 'by', 'seal', 'host'}
local RIGHTS_KEPT = 1000000
local function take_right(first)
  local right = {}
  for i, name in ipairs(RIGHT_FIELDS) do right[name] = ARGV[first + i - 1] or '' end
  right.at = tonumber(right.at)
  local next = first + #RIGHT_FIELDS
  local count = tonumber(ARGV[next] or '0')
  mark_applied(right.host, {unpack(ARGV, next + 1, next + count)})
  if right.seal ~= '' or right.kind == 'account-deactivated' or right.kind == 'zone-returned' then
    redis.call('XADD', 'ledger-rights', 'MAXLEN', '~', RIGHTS_KEPT, '*', 'kind', right.kind, 'subject', right.subject,
               'name', right.name, 'customer', right.customer, 'at', string.format('%.0f', right.at), 'seal', right.seal)
  end
  return right, next + count + 1
end

-- Is that the newest word, `known` being the moment of the one before?
local function is_newer(known, at, takes_away)
  known = tonumber(known or '0')
  return at > known or (at == known and takes_away)
end

local function moment(at)
  return string.format('%.0f', at)
end
