"""Whether a client has left behind bytes that are not read (S12, S20).

While reading is paused, since enough waits already, the event loop says nothing of a connection's
end: an app that waits, and sends nothing, would never hear of it. So the system is asked.
"""

from __future__ import annotations

import asyncio
import select

#: What the client has done with its side.
NOTHING, FINISHED, GONE = range(3)

_RDHUP: int = getattr(select, "POLLRDHUP", 0)  # not on macOS
_LOST = select.POLLHUP | select.POLLERR | select.POLLNVAL


def unread_end(transport: asyncio.BaseTransport) -> int:
    """`FINISHED`: it sends no more, and may read; `GONE`: the connection is lost."""
    sock = transport.get_extra_info("socket")
    descriptor = -1 if sock is None else sock.fileno()
    if descriptor < 0:
        return NOTHING
    poll = select.poll()
    poll.register(descriptor, _RDHUP)
    for _, events in poll.poll(0):
        return GONE if events & _LOST else FINISHED
    return NOTHING
