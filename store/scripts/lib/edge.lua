-- What the edges must hear of. A sequence is also a time in microseconds: a restored Redis never uses a number that
-- stood for another event before.
local EDGE_EVENTS_KEPT = 100000
local function add_edge_event(micros, ...)
  local last = tonumber(redis.call('GET', 'edge-sequence') or '0')
  local sequence = string.format('%.0f', math.max(last + 1, micros))
  redis.call('SET', 'edge-sequence', sequence)
  redis.call('XADD', 'edge-events', 'MAXLEN', '~', EDGE_EVENTS_KEPT, sequence .. '-0', ...)
end
