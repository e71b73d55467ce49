"""What Redis does in one step, in Lua (rule L8). Times are in milliseconds, by Redis' clock."""

from __future__ import annotations

from typing import Final

from bridge.channels.redis.pipeline import Script

#: Functions that the scripts share.
_SHARED: Final = """
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
-- Make room in a list whose first elements may have expired; returns how many have.
local function drop_expired(key, ms)
  local dropped = 0
  while true do
    local head = redis.call('LINDEX', key, 0)
    if not head or #head < 8 or struct.unpack('>d', head) > ms then return dropped end
    redis.call('LPOP', key)
    dropped = dropped + 1
  end
end
"""

#: KEYS: the list. ARGV: capacity, expiry, the element after its time. Returns 1; 0: it is full.
SEND: Final = Script(
    _SHARED
    + """
local ms = now()
if redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[1]) then
  drop_expired(KEYS[1], ms)
  if redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
end
redis.call('RPUSH', KEYS[1], struct.pack('>d', ms + ARGV[2]) .. ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
)

#: KEYS: lists. Returns the place of the first that has a message, and the message; or false.
RECEIVE: Final = Script(
    _SHARED
    + """
local ms = now()
for place, key in ipairs(KEYS) do
  drop_expired(key, ms)
  local element = redis.call('LPOP', key)
  if element then return {place, element} end
end
return false
"""
)

#: KEYS: the list. ARGV: for how long it is kept, and elements, the first to be read first.
PUT_BACK: Final = Script(
    """
for i = #ARGV, 2, -1 do redis.call('LPUSH', KEYS[1], ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
"""
)

#: KEYS: keys. Returns 1 for each that is a list, or nothing yet; 0 for one of another type.
MAY_BE_LISTS: Final = Script(
    """
local found = {}
for place, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  found[place] = (kind == 'list' or kind == 'none') and 1 or 0
end
return found
"""
)

#: KEYS: the group. ARGV: how long a membership lasts, expiry, capacity, capacity of the queues of
#: processes' clients, start of the keys of channels, start of an element after its time, the
#: message, end of the names of the sender's own queues, then pairs: a queue with a capacity of its
#: own, and that. Returns three lists: queues that got the message, with their numbers of members;
#: those that were full, likewise; and the members in the sender's own queues, which it serves
#: itself. A queue whose messages nothing has read loses its memberships here, as ASGI 1 allows.
SEND_GROUP: Final = Script(
    _SHARED
    + """
local ms = now()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ms - ARGV[1])
local queues, order, capacities, own = {}, {}, {}, {}
local own_end, key_start = ARGV[8], ARGV[5]
for i = 9, #ARGV, 2 do capacities[ARGV[i]] = tonumber(ARGV[i + 1]) end
for _, channel in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local mark = string.find(channel, '!', 1, true)
  local queue = mark and string.sub(channel, 1, mark) or channel
  if mark and string.sub(queue, -#own_end) == own_end then
    own[#own + 1] = channel
  else
    if not queues[queue] then
      queues[queue] = {}
      order[#order + 1] = queue
    end
    table.insert(queues[queue], channel)
  end
end
local reached, full = {}, {}
for _, queue in ipairs(order) do
  local key, names = key_start .. queue, queues[queue]
  local of_clients = string.find(queue, '%.%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x!$')
  local capacity = capacities[queue] or tonumber(of_clients and ARGV[4] or ARGV[3])
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'list' and kind ~= 'none' then
    full[#full + 1] = {queue, #names}
  elseif drop_expired(key, ms) > 0 then
    for _, name in ipairs(names) do redis.call('ZREM', KEYS[1], name) end
  elseif redis.call('LLEN', key) >= capacity then
    full[#full + 1] = {queue, #names}
  else
    local start = struct.pack('>d', ms + ARGV[2]) .. ARGV[6] .. cmsgpack.pack(names)
    redis.call('RPUSH', key, start .. ARGV[7])
    redis.call('PEXPIRE', key, ARGV[2])
    reached[#reached + 1] = {queue, #names}
  end
end
return {reached, full, own}
"""
)

#: KEYS: the group. ARGV: how long a membership lasts, the channel.
GROUP_ADD: Final = Script(
    _SHARED
    + """
redis.call('ZADD', KEYS[1], now(), ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
"""
)

#: KEYS: the group. ARGV: how long a membership lasts. Returns the channels.
GROUP_CHANNELS: Final = Script(
    _SHARED
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now() - ARGV[1])
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""
)

#: KEYS: a list. Returns how many messages wait in it, and for how long the oldest may still do so.
PENDING: Final = Script(
    _SHARED
    + """
if redis.call('TYPE', KEYS[1]).ok ~= 'list' then return {0, 0} end
local ms = now()
drop_expired(KEYS[1], ms)
local head = redis.call('LINDEX', KEYS[1], 0)
if not head or #head < 8 then return {redis.call('LLEN', KEYS[1]), 0} end
return {redis.call('LLEN', KEYS[1]), math.floor(struct.unpack('>d', head) - ms)}
"""
)
