-- Does Redis take what the scripts write, and may this user run every line of them? embed.py puts their commands and the
-- beginnings of their keys here.
-- keys: ledger-probe
-- arguments: none
-- result: ok | unavailable
local COMMANDS, KEYS_OF_SCRIPTS = {--COMMANDS--}, {--KEYS--}
local function may(command, key)
  return redis.acl_check_cmd(command, key, key, key)
end
for _, command in ipairs(COMMANDS) do
  if not may(command, 'ledger-probe') then
    return {'unavailable', 'the user of Redis may not run ' .. command .. ': give it what doc/redis.md lists'}
  end
end
for _, key in ipairs(KEYS_OF_SCRIPTS) do
  if not may('GET', key) or not may('DEL', key) then
    return {'unavailable', 'the user of Redis may not use keys like ' .. key .. ': give it what doc/redis.md lists'}
  end
end
redis.call('SET', 'ledger-probe', '1', 'EX', 60)
return {'ok'}
