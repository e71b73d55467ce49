"""The output side of a connection: back-pressure, limits of time, and the ways to end it.

Bytes leave in one of two ways: through the transport, which keeps what does not fit, or, if
nothing waits in it, straight through the socket (`SocketWriter`), as threads and files do. A
connection ends in one of four: it is closed when everything has been written; closed so that a
client that is still sending gets its answer all the same (lingering); reset, so that the client
can tell that the response is not whole; or aborted, even while a thread is writing.

An `Output` is handed on with its transport: a WebSocket takes over that of its handshake.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Sequence
from typing import TypeAlias, cast

from bridge.errors import ClientDisconnected
from bridge.limits import HIGH_WATER, MIN_UNCOPIED
from bridge.log import logger
from bridge.loops.wait_queue import WaitQueue
from bridge.server.metrics.traffic import Source
from bridge.server.state import ServerState
from bridge.server.transport.backlog import Backlog, acknowledged, in_kernel
from bridge.server.transport.counted import count_bytes
from bridge.server.transport.socket_writer import SocketWriter

#: Seconds for which a client that is told to go away may go on sending.
LINGER = 2.0
#: Seconds between two looks at a TLS connection that is closing.
_TLS_CLOSE_POLL = 0.05
#: How many of them, in a row, have to find that the client has everything.
_QUIET_LOOKS = 3
#: For SO_LINGER: on, zero seconds. The socket is reset when it is closed.
_RESET = struct.pack("ii", 1, 0)


#: Bytes, or a part of some.
Piece: TypeAlias = bytes | memoryview


def gathered(parts: Sequence[bytes]) -> Sequence[bytes]:
    """Return these parts as they are to be written: small ones as one, large ones not copied."""
    if sum(map(len, parts)) < MIN_UNCOPIED or len(parts) < 2:
        return (b"".join(parts),)
    return parts


def unsent(parts: Sequence[Piece], sent: int) -> list[Piece]:
    """Return what of `parts` is left behind the first `sent` bytes, and copy none of it."""
    left: list[Piece] = []
    for part in parts:
        if sent < len(part):
            left.append(memoryview(part)[sent:] if sent else part)
        sent = max(sent - len(part), 0)
    return left


class Output:
    """The output side of one connection; everything on the loop's thread unless it says not.

    What is written on every request goes to `transport.write` itself.
    """

    __slots__ = (
        "_backlog",
        "_closing_tls",
        "_end_anyway",
        "_new_writer",
        "_quiet_looks",
        "_source",
        "_state",
        "_writable",
        "closed",
        "end_at",
        "file_sent",
        "file_waits",
        "paused",
        "tls",
        "transport",
        "writer",
    )

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self.transport: asyncio.Transport
        #: The connection is encrypted, so only its transport can write.
        self.tls = False
        #: For threads, which write what is finished; made when first wanted, plain sockets only.
        self.writer: SocketWriter | None = None
        #: The transport is closed: nothing reaches the client any more.
        self.closed = False
        #: The transport has no more room; wait with `drained`.
        self.paused = False
        #: Bytes of files sent so far, and whether one waits for room; `sendfile.py` sets both.
        self.file_sent = 0
        self.file_waits = False
        #: When a lingering connection is to end, by the server's clock; 0 if it does not linger.
        self.end_at = 0.0
        #: Then it ends even if the client has not taken everything.
        self._end_anyway = False
        #: What waits for the client; None if nothing did at the last look.
        self._backlog: Backlog | None = None
        #: A TLS connection is closed when this many looks in a row found nothing on its way.
        self._closing_tls = False
        self._quiet_looks = 0
        self._writable: WaitQueue | None = None
        self._new_writer: Callable[[int], SocketWriter] = SocketWriter
        #: What tells the bytes in and out, if they are counted.
        self._source: Source | None = None

    def open(self, transport: asyncio.BaseTransport) -> asyncio.Transport:
        """Take the transport of a new connection, and give it back."""
        self.transport = transport = cast(asyncio.Transport, transport)
        self.tls = transport.get_extra_info("sslcontext") is not None
        figures = self._state.figures
        if figures is not None:
            transport, self._source, self._new_writer = count_bytes(transport, tls=self.tls)
            self.transport = transport
            figures.traffic.open(self._source)
        transport.set_write_buffer_limits(HIGH_WATER)
        return transport

    def lost(self) -> None:
        """Note that the transport is closed; all that wait for it go on."""
        self.closed = True
        self.writer = None
        figures = self._state.figures
        if figures is not None and self._source is not None:
            figures.traffic.close(self._source)
        if self._writable is not None:
            self._writable.wake()

    # --------------------------------------------------------- from threads, and past the transport

    def direct_writer(self) -> SocketWriter | None:
        """A `SocketWriter` for this connection, kept; None if only the transport can write."""
        if self.writer is None and not (self.tls or self.closed):
            try:
                self.writer = self._new_writer(self.transport.get_extra_info("socket").fileno())
            except OSError as error:  # no descriptors left: the transport has one
                logger.debug("no second descriptor for a connection: %s", error)
        return self.writer

    def release_writer(self) -> None:
        """Give the descriptor back; the next that wants a writer gets a new one."""
        self.writer = None

    def write_through(self, parts: Sequence[Piece]) -> None:
        """Write at once, not at the end of the loop's step, if nothing waits before it (W39)."""
        writer = self.writer or self.direct_writer()
        if writer is None or self.transport.get_write_buffer_size():
            self.write_parts(parts)
            return
        sent = writer.send(*parts)
        if sent != sum(map(len, parts)):
            self.write_parts(unsent(parts, sent))

    def write_parts(self, parts: Sequence[Piece]) -> None:
        """Write these behind one another, without a copy if the loop can do that.

        asyncio's own transports cannot in all of our Pythons: they do not pause the protocol then
        (gh-127655), nor see a lost connection.
        """
        if len(parts) == 1:
            self.transport.write(parts[0])
        elif not isinstance(self._state.loop, asyncio.SelectorEventLoop):
            self.transport.writelines(parts)
        else:
            self.transport.write(b"".join(parts))

    def write_late(self, parts: Sequence[Piece]) -> None:
        """Write what a thread could not, if the client is still there to read it."""
        if not self.closed:
            self.write_parts(parts)

    # --------------------------------------------------------- back-pressure

    def pause(self) -> None:
        """Note that the write buffer is full (asyncio's `pause_writing`)."""
        self.paused = True

    def resume(self) -> None:
        """Note that the write buffer has room again (asyncio's `resume_writing`)."""
        self.paused = False
        if self._writable is not None:
            self._writable.wake()

    async def drained(self) -> None:
        """Wait until there is room to write. Raises `ClientDisconnected`."""
        while self.paused and not self.closed:
            await self.writable().wait()
        if self.closed:
            raise ClientDisconnected("the client is gone")

    async def emptied(self) -> None:
        """Wait until nothing waits in the transport. Raises `ClientDisconnected`."""
        if self.closed or not self.transport.get_write_buffer_size():
            await self.drained()
            return
        self.transport.set_write_buffer_limits(0)
        try:
            await self.drained()
        finally:
            if not self.closed:  # a closed transport takes no limits
                self.transport.set_write_buffer_limits(HIGH_WATER)

    def writable(self) -> WaitQueue:
        """Where to wait until there is room again, or the transport is closed."""
        if self._writable is None:
            self._writable = WaitQueue()
        return self._writable

    # --------------------------------------------------------- the ends

    def close(self, *, lingering: bool) -> None:
        """Close when everything has been written.

        If the client is still sending, closing at once would reset the connection, and the client
        would lose the answer: so it is left open for a while, and what comes is thrown away
        (RFC 9112 §9.6).
        """
        self.writer = None
        if self.closed or self.transport.is_closing():
            return
        if not lingering:
            self.transport.close()
            if self.tls:
                self._look_for_the_end()
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.end_at = self._state.clock() + LINGER

    def end_within(self, seconds: float) -> None:
        """End the connection in so many seconds, or later if the client still takes the rest."""
        self.end_at = self._state.clock() + seconds

    def limit_lingering(self, seconds: float) -> None:
        """End a lingering connection in so many seconds, even if the client takes nothing."""
        if self.end_at:
            self.end_within(seconds)
            self._end_anyway = True

    def break_off(self) -> None:
        """Close, with nothing said of the end; what was written is still sent."""
        self.writer = None
        self.transport.close()

    def reset(self) -> None:
        """End with RST, and with what the kernel holds for a client that does not take it.

        That is also how the client of a body that ends with the connection can tell (W36, S14).
        """
        self.writer = None
        raw = self.transport.get_extra_info("socket")
        if raw is not None and raw.family != socket.AF_UNIX:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def abort(self) -> None:
        """End at once, even while a thread is writing."""
        if self.writer is not None:
            self.writer.shutdown()  # a thread may hold it still; the client shall know at once
        self.reset()

    def _end_tls(self) -> None:
        """End a TLS connection as soon as the client has all that was written.

        The transport would wait long for the client to say goodbye too, and a client that keeps
        an idle connection never looks at it. TLS does not ask for it (RFC 8446 §6.1).
        """
        if self.closed:
            return
        self._quiet_looks = self._quiet_looks + 1 if self._delivered() else 0
        if self._quiet_looks < _QUIET_LOOKS:
            self._look_for_the_end()
        else:
            self.transport.abort()

    def _delivered(self) -> bool:
        """Whether the client has all that was written, as far as that can be seen."""
        sock = self.transport.get_extra_info("socket")
        return not (self.transport.get_write_buffer_size() or (sock and in_kernel(sock)))

    def _look_for_the_end(self) -> None:
        """Have `_end_tls` look, just behind a turn in which the loop could write.

        Below TLS there is a transport whose buffer cannot be seen: while the kernel has room, it
        is emptied at each turn.
        """
        self._closing_tls = True
        loop = self._state.loop
        loop.call_later(_TLS_CLOSE_POLL, loop.call_soon, loop.call_soon, self._end_tls)

    # --------------------------------------------------------- time

    def check_timeouts(self, now: float, written: object) -> str:
        """End a connection whose client is too slow, or that has lingered long enough (S2).

        `written`: a value that changes whenever more is written, as far as that can be known.
        Returns why the client is too slow, for the log, and an empty text if it is not.
        """
        size = self.transport.get_write_buffer_size()
        waits = size > 0 or self.file_waits
        closing = self.tls and self.transport.is_closing()
        if closing and not self._closing_tls:
            self._look_for_the_end()  # whoever closed it
        too_slow = ""
        if waits or closing:
            too_slow = self._check_backlog(now, size, written)
        elif self._backlog is not None:
            self._backlog = None
        if self.end_at:
            if waits and not self._end_anyway:
                self.end_at = now + LINGER
            elif now >= self.end_at:
                self.transport.abort()
        return too_slow

    def _check_backlog(self, now: float, size: int, written: object) -> str:
        sock = self.transport.get_extra_info("socket")
        held = None if sock is None else in_kernel(sock)
        if sock is None or held == 0:
            self._backlog = None  # the client has all that it could take: it is our turn
            return ""
        taken: object = acknowledged(sock)
        if taken is None:
            taken = size + (held or 0), self.file_sent, written
        if self._backlog is None:
            self._backlog = Backlog(now, taken)
            return ""
        why = self._backlog.look(now, taken, self._state.config)
        if not why:
            return ""
        self.abort()
        return f"{size + (held or 0)} bytes waited for the client, and {why}"
