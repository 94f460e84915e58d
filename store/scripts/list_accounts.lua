-- A page of the ACME accounts of a customer, or of those without one, newest first. None is left out: where those of before there were
-- these lists take longer, it is to be asked again.
-- keys: accounts, accounts-listed, customer-accounts:<customer or ->, account:<id>
-- arguments: customer or '', binding key or '', status or '', cursor or '', limit
-- result: ok, next cursor, {id, fields} ... | unavailable
-- uses: page, account
local customer, kid, status = ARGV[1], ARGV[2], ARGV[3]
if not list_former_accounts(1000) then
  return {'unavailable', 'the accounts of an earlier version are still being listed; try again in a moment'}
end
return object_page('account:', 'customer-accounts:' .. (customer ~= '' and customer or '-'), ARGV[4], tonumber(ARGV[5]), '+inf',
  function(account) return (kid == '' or account.eab == kid) and (status == '' or account.status == status) end)
