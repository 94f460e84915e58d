-- Proofs without a good seal: somebody has put them there.
-- keys: crl-proofs
-- arguments: seal, serials, seal, serials ...
-- result: ok
for i = 1, #ARGV, 2 do redis.call('ZREM', 'crl-proofs', ARGV[i] .. ' ' .. ARGV[i + 1]) end
return {'ok'}
