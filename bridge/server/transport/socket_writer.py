"""A second descriptor of a connection's socket, for threads that write what is finished (W25, W39).

uvloop closes a transport's own descriptor when it likes; a thread that wrote through it could
then write into a connection that just got the same number. A duplicate stays ours: it is closed
when the last exchange that holds this object is gone, and not before.
"""

from __future__ import annotations

import os
import select
import socket
from contextlib import suppress

from bridge.errors import ClientDisconnected

#: Milliseconds for which a thread that sends a file waits for room at a time.
_PATIENCE = 1000


class SocketWriter:
    """A duplicate of a plain TCP or Unix stream socket's descriptor; safe from any thread."""

    __slots__ = ("_fd",)

    def __init__(self, descriptor: int) -> None:
        self._fd = -1  # for `__del__`, where there is no descriptor left to be had
        self._fd = os.dup(descriptor)

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def send(self, *parts: bytes | memoryview) -> int:
        """Write what fits now of these, which are not copied; return the number of bytes taken.

        Raises `ClientDisconnected`.
        """
        try:
            if len(parts) == 1:
                return os.write(self._fd, parts[0])
            return os.writev(self._fd, parts)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            raise ClientDisconnected(f"the client is gone: {error}") from None

    def send_file(self, file: int, offset: int, count: int) -> int:
        """Have the kernel send a part of an open file; how many bytes fitted; 0 at its end.

        Raises `BlockingIOError` where there is no room, `ClientDisconnected`, and `OSError` where
        the file cannot be sent like this.
        """
        try:
            return os.sendfile(self._fd, file, offset, count)
        except (BrokenPipeError, ConnectionError) as error:
            raise ClientDisconnected(f"the client is gone: {error}") from None

    def wait_for_room(self, milliseconds: int = _PATIENCE) -> bool:
        """Wait, without the interpreter lock, until more can be sent, or the connection has ended.

        False: neither was so in time. A thread shall also notice what does not come this way.
        """
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return bool(poll.poll(milliseconds))

    def shutdown(self) -> None:
        """End the connection in both directions, whoever holds its descriptors."""
        with socket.socket(fileno=os.dup(self._fd)) as twin, suppress(OSError):
            twin.shutdown(socket.SHUT_RDWR)

    def fileno(self) -> int:
        """The descriptor, to wait on."""
        return self._fd


class NullWriter:
    """Stands where only the loop may write (TLS): it takes nothing, so all is left to the loop."""

    __slots__ = ()

    def send(self, *parts: bytes | memoryview) -> int:
        """Take none of them."""
        return 0

    def wait_for_room(self, milliseconds: int) -> bool:
        """Tell that there is none."""
        return False


NULL_WRITER = NullWriter()
