"""What Redis does in one step for gateways and workers, in Lua (rules L9, L10)."""

from __future__ import annotations

from typing import Final

from bridge.channels.redis.link import Script
from bridge.gateway.keys import GROUP

#: Seconds after the last heartbeat of a process until all that it left in Redis is cleared away.
FORGET_AFTER: Final = 120

_SHARED: Final = f"""
local GROUP = '{GROUP}'
-- Withdraw all requests of a gateway that nobody has claimed.
local function withdraw(requests, gateway)
  local count = 0
  for _, entry in ipairs(redis.call('XRANGE', requests, '-', '+')) do
    if entry[2][1] == 'g' and entry[2][2] == gateway then
      count = count + redis.call('XDEL', requests, entry[1])
    end
  end
  return count
end
-- Clear away what a process has left: it is on the lists no more.
local function clear(prefix, name)
  local requests = prefix .. ':requests'
  redis.call('ZREM', prefix .. ':seen', name)
  redis.call('HDEL', prefix .. ':peers', name)
  redis.call('DEL', prefix .. ':in:' .. name)
  if string.sub(name, 1, 1) == 'g' then
    withdraw(requests, name)
    return
  end
  local pending = redis.pcall('XPENDING', requests, GROUP, '-', '+', 10000, name)
  if pending.err then return end
  for _, entry in ipairs(pending) do
    redis.call('XACK', requests, GROUP, entry[1])
    redis.call('XDEL', requests, entry[1])
  end
  redis.call('XGROUP', 'DELCONSUMER', requests, GROUP, name)
end
"""

#: KEYS: those of requests. ARGV: the most requests that may wait, the gateway, requests. Returns
#: the numbers of the entries; fewer than there are requests: as many wait as may.
ASK: Final = Script(
    """
local room = tonumber(ARGV[1]) - redis.call('XLEN', KEYS[1])
local entries = {}
for at = 1, math.min(#ARGV - 2, room) do
  entries[at] = redis.call('XADD', KEYS[1], '*', 'g', ARGV[2], 'r', ARGV[at + 2])
end
return entries
"""
)

#: KEYS: those of requests. ARGV: the numbers of entries that were read. Returns for each 1 if it
#: is claimed by this, 0 if it was withdrawn.
CLAIM: Final = Script(
    """
local claimed = {}
for at, number in ipairs(ARGV) do claimed[at] = redis.call('XDEL', KEYS[1], number) end
return claimed
"""
)

#: KEYS: those of requests. ARGV: the gateway. Returns how many requests of it were withdrawn.
WITHDRAW: Final = Script(_SHARED + "return withdraw(KEYS[1], ARGV[1])")

#: KEYS: when processes were seen, what they are. ARGV: prefix, name, what it is, and what this has
#: returned before: the processes that have been gone for long. Those that still are, are cleared
#: away; not at the first sight, as Redis' clock may have been set.
BEAT: Final = Script(
    _SHARED
    + f"""
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], ms, ARGV[2])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
local known, gone = {{}}, {{}}
for at = 4, #ARGV do known[ARGV[at]] = true end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ms - {FORGET_AFTER * 1000})) do
  if known[name] then clear(ARGV[1], name) else gone[#gone + 1] = name end
end
return gone
"""
)

#: ARGV: prefix, name. Takes a process off all lists.
LEAVE: Final = Script(_SHARED + "clear(ARGV[1], ARGV[2])\nreturn 1")
