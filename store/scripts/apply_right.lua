-- Replay of a ledger record that gives or takes a right. What is not here has nothing that could be taken, and gets nothing: who
-- lost a customer, a zone or a key with Redis's data is onboarded anew, and such a zone is remembered as lost.
-- keys: ledger-stops, customer:<id>, customers-suspended, zone:<id> and its indexes (zones-by-name too), zones-lost, api-key:<id>, eab:<kid>, account:<id> and what else is its own,
--   ledger-rights, ledger:<host>
-- arguments: seconds that a deleted zone stays readable, that name servers may still have it, refused_retention, idle life of accounts, whether certificates of a
--   moved zone leave the edges, spki of an account's new key or '', the right (lib/right.lua)
-- result: ok
-- uses: pause, ending, delegated, stop
local right = take_right(7)
local kind, subject, at = right.kind, right.subject, right.at
local now, micros = now_parts()
if kind == 'api-key-ended' then
  end_api_key(subject, at)
elseif kind == 'eab-key-ended' then
  end_eab_key(subject, at)
elseif kind == 'customer-suspended' or kind == 'customer-resumed' then
  set_customer_suspended(subject, kind == 'customer-suspended', at, right.by)
elseif kind == 'issuance-stopped' or kind == 'issuance-allowed' then
  set_issuer_stopped('*', kind == 'issuance-stopped', at, right.by)
elseif kind == 'issuer-stopped' or kind == 'issuer-allowed' then
  set_issuer_stopped(subject, kind == 'issuer-stopped', at, right.by)
elseif kind == 'account-deactivated' then
  if redis.call('EXISTS', 'account:' .. subject) == 1 then deactivate_account(subject) end
elseif kind == 'account-key-changed' then
  local account = load_hash('account:' .. subject)
  if account and account.thumbprint ~= right.name and is_newer(account.key_at, at, true) then
    set_account_key(subject, account, right.name, right.detail, ARGV[6], at, now, tonumber(ARGV[4]))
  end
else
  local zone = load_hash('zone:' .. subject)
  if not zone and kind == 'zone-added' then redis.call('ZADD', 'zones-lost', now, subject) end
  if kind == 'zone-ended' then redis.call('ZREM', 'zones-lost', subject) end
  if not zone or zone.status == 'deleted' then return {'ok'} end
  if kind == 'zone-ended' or kind == 'zone-paused' or kind == 'zone-moved' then replay_end_of_hold(zone, at) end
  if kind == 'zone-ended' then
    end_zone(subject, zone, tonumber(ARGV[1]), tonumber(ARGV[2]), now)
    end_zone_orders(subject, 0, now, tonumber(ARGV[3]))
  elseif kind == 'zone-paused' or kind == 'zone-resumed' then
    set_zone_paused(subject, zone, kind == 'zone-paused', at, right.by, now, micros)
  elseif kind == 'zone-moved' or kind == 'zone-returned' then
    replay_delegated(subject, zone, kind == 'zone-returned', at, now, micros, ARGV[5] == '1')
  end
end
return {'ok'}
