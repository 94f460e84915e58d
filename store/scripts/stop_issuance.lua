-- Stops issuance for everybody ('*') or by an issuer, or lets it go on.
-- keys: ledger-stops, ledger-rights, ledger:<host>
-- arguments: issuer or '*', is_stopped, the right (lib/right.lua)
-- result: ok
-- uses: stop
local right = take_right(3)
set_issuer_stopped(ARGV[1], ARGV[2] == '1', right.at, right.by)
return {'ok'}
