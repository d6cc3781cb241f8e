"""What Redis does in one piece: writes within bounds that no older version undoes. Keys: ``docs/read-model.md``.

Scripts name keys that they are not given (the sets of other currencies), so a Redis Cluster will not do.
"""

from __future__ import annotations

from typing import Final

from stream import topics

REDIS_METRICS_VERSIONS: Final = f"{topics.REDIS_METRICS}:versions"
REDIS_ALERTS_VERSIONS: Final = f"{topics.REDIS_ALERTS}:versions"
REDIS_CUSTOMERS_VERSIONS: Final = f"{topics.REDIS_CUSTOMERS}:versions"
REDIS_CURRENCIES: Final = f"{topics.REDIS_CUSTOMERS}:currencies"
REDIS_SERIES_INDEX: Final = f"{topics.REDIS_SERIES}:slices"
REDIS_WRITER: Final = "cx:readmodel:writer"
REDIS_FILLED: Final = "cx:readmodel:filled"

# KEYS: values, versions. ARGV: (field, version, payload)*
PUT_METRICS: Final = """
local written = 0
for i = 1, #ARGV, 3 do
  local known = tonumber(redis.call('HGET', KEYS[2], ARGV[i]) or '-1')
  if tonumber(ARGV[i + 1]) >= known then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
    written = written + 1
  end
end
return written
"""

# KEYS: active, versions, recent, ended.
# ARGV: fingerprints kept, stream length, (fingerprint, version, ended, payload)*
PUT_ALERTS: Final = """
local written = 0
for i = 3, #ARGV, 4 do
  local known = tonumber(redis.call('ZSCORE', KEYS[2], ARGV[i]) or '-1')
  if tonumber(ARGV[i + 1]) > known then
    redis.call('ZADD', KEYS[2], ARGV[i + 1], ARGV[i])
    if ARGV[i + 2] == '1' then
      redis.call('HDEL', KEYS[1], ARGV[i])
      redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 3])
    else
      redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 3])
      redis.call('HDEL', KEYS[4], ARGV[i])
    end
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[2], '*', 'alert', ARGV[i + 3])
    written = written + 1
  end
end
local beyond = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[1])
if beyond > 0 then
  for _, fingerprint in ipairs(redis.call('ZRANGE', KEYS[2], 0, beyond - 1)) do
    redis.call('HDEL', KEYS[1], fingerprint)
    redis.call('HDEL', KEYS[4], fingerprint)
  end
  redis.call('ZREMRANGEBYRANK', KEYS[2], 0, beyond - 1)
end
return written
"""

# KEYS: profiles, versions, currencies.
# ARGV: profiles kept, prefix of the orders, (id, version, payload or '', value at risk or '', currency)*
PUT_PROFILES: Final = """
local currencies = redis.call('SMEMBERS', KEYS[3])
local function leave(id)
  redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
  for _, other in ipairs(currencies) do
    redis.call('ZREM', ARGV[2] .. ':' .. other, id)
  end
end
for i = 3, #ARGV, 5 do
  local id, currency = ARGV[i], ARGV[i + 4]
  local known = tonumber(redis.call('ZSCORE', KEYS[2], id) or '-1')
  if ARGV[i + 2] == '' then
    leave(id)
  elseif tonumber(ARGV[i + 1]) >= known then
    redis.call('HSET', KEYS[1], id, ARGV[i + 2])
    redis.call('ZADD', KEYS[2], ARGV[i + 1], id)
    for _, other in ipairs(currencies) do
      if ARGV[i + 3] == '' or other ~= currency then
        redis.call('ZREM', ARGV[2] .. ':' .. other, id)
      end
    end
    if ARGV[i + 3] ~= '' then
      if redis.call('SADD', KEYS[3], currency) == 1 then
        currencies[#currencies + 1] = currency
      end
      redis.call('ZADD', ARGV[2] .. ':' .. currency, ARGV[i + 3], id)
    end
  end
end
local beyond = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[1])
if beyond > 0 then
  for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, beyond - 1)) do
    leave(id)
  end
end
return beyond
"""

# KEYS: index, rings of the slice. ARGV: slices kept, prefix, slice, as_of, (field, place in the ring, entry)*
# An entry begins with the number of its step and its moment; of one step the earliest moment stays.
PUT_SERIES: Final = """
local known = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[3]) or '-1')
if tonumber(ARGV[4]) > known then
  redis.call('ZADD', KEYS[1], ARGV[4], ARGV[3])
end
for i = 5, #ARGV, 3 do
  local ring = redis.call('HGET', KEYS[2], ARGV[i]) or ''
  local at, entry = tonumber(ARGV[i + 1]), ARGV[i + 2]
  local step, moment = struct.unpack('>I4I8', entry)
  local old_step, old_moment = -1, -1
  if #ring >= at + #entry then
    old_step, old_moment = struct.unpack('>I4I8', string.sub(ring, at + 1, at + 12))
  end
  if step > old_step or (step == old_step and moment <= old_moment) then
    if #ring < at then
      ring = ring .. string.rep('\\0', at - #ring)
    end
    ring = string.sub(ring, 1, at) .. entry .. string.sub(ring, at + #entry + 1)
    redis.call('HSET', KEYS[2], ARGV[i], ring)
  end
end
local beyond = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[1])
if beyond > 0 then
  for _, slice in ipairs(redis.call('ZRANGE', KEYS[1], 0, beyond - 1)) do
    redis.call('DEL', ARGV[2] .. ':' .. slice)
    redis.call('ZREM', KEYS[1], slice)
  end
end
return beyond
"""
