-- The zones above a name that is no zone of the customer's (yet), as a zone's fields; customer '' for nobody's.
-- keys: zone-name:<what is above>, zone:<id>, name-sets:<what is above>
-- arguments: name, customer or ''
-- result: ok, '', fields
-- uses: common, zone, delegation
local name, customer = ARGV[1], ARGV[2]
return {'ok', '', add_zones_above({'name', name, 'customer', customer}, name, customer)}
