-- A ledger record that changes nothing here but the watermark.
-- keys: ledger:<host>, ledger-ahead:<host>
-- arguments: host, sequences ...
-- result: ok
-- uses: ledger
mark_applied(ARGV[1], {unpack(ARGV, 2)})
return {'ok'}
