"""See whether a client has left, although bytes that it sent are not read yet (S12, S20).

While reading is paused the event loop does not report the end of a connection, so an app that
waits and sends nothing would never be told. So the operating system is asked.
"""

from __future__ import annotations

import asyncio
import select

#: What the client has done with its side.
NOTHING, FINISHED, GONE = range(3)

_RDHUP: int = getattr(select, "POLLRDHUP", 0)  # not on macOS
_LOST = select.POLLHUP | select.POLLERR | select.POLLNVAL


def unread_end(transport: asyncio.BaseTransport) -> int:
    """Return `FINISHED` if the client sends no more but may read, `GONE` if the connection is lost.

    Else `NOTHING`.
    """
    sock = transport.get_extra_info("socket")
    descriptor = -1 if sock is None else sock.fileno()
    if descriptor < 0:
        return NOTHING
    poll = select.poll()
    poll.register(descriptor, _RDHUP)
    for _, events in poll.poll(0):
        return GONE if events & _LOST else FINISHED
    return NOTHING
