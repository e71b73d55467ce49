"""The writing half of a connection: back-pressure, files, stalls, and the ways to end it.

Bytes leave in one of two ways: through the transport, which keeps what does not fit, or, where
nothing waits in it, straight through the socket (`Wire`), which threads and files do. A connection
ends in one of four: it is closed when everything has been written; closed so that a client that is
still sending gets its answer all the same (lingering); cut, so that the client can tell that the
response is not whole; or aborted, when nobody cares any more.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Callable, Sequence

from bridge.errors import ClientDisconnected, peer_name
from bridge.limits import HIGH_WATER
from bridge.loops.wait_queue import WaitQueue
from bridge.server.state import ServerState
from bridge.server.transport.backlog import Backlog, acknowledged, in_kernel
from bridge.server.transport.socket_writer import Wire

logger = logging.getLogger("bridge.error")

#: Seconds for which a client that is told to go away may go on sending.
LINGER = 2.0
#: Seconds between two looks at a TLS connection that is closing.
_GOODBYE = 0.05
#: How many of them, in a row, have to find that the client has everything.
_QUIET_LOOKS = 3
#: Bytes that one call of sendfile may take, so that the loop is not held by a fast client.
FILE_BLOCK = 4 * 1024 * 1024
#: For SO_LINGER: on, zero seconds. The socket is reset when it is closed.
_RESET = struct.pack("ii", 1, 0)


class Writing(asyncio.Protocol):
    """What of a connection is about its output; `http.HttpProtocol` is the rest."""

    state: ServerState
    transport: asyncio.Transport
    client: tuple[str, int] | None
    scheme_is_tls = False
    #: For threads that write what is finished; made when first wanted, plain sockets only.
    wire: Wire | None
    gone: bool
    write_paused: bool
    #: When the connection is to end, while it lingers.
    _close_at = 0.0
    #: Then it ends even if the client has not taken everything.
    _close_anyway = False
    #: What waits for the client; None where nothing did at the last look.
    _backlog: Backlog | None
    #: A file is being sent, and there is no room for more of it.
    file_waits = False
    #: Bytes of files sent so far.
    file_sent = 0
    #: A TLS connection is closed as soon as nothing is on its way, as so many looks found.
    _closing_tls = False
    _quiet_looks = 0
    _room: WaitQueue | None = None
    #: The transport's own method.
    write: Callable[[bytes], None]

    def __init__(self) -> None:
        self.wire = self.client = None
        self.gone = self.write_paused = False
        self._backlog = None

    def room(self) -> None:
        """The client has caught up."""

    # --------------------------------------------------------- from elsewhere

    def make_wire(self) -> Wire | None:
        """A `Wire` for this connection, kept; None where only the transport can write."""
        if self.scheme_is_tls or self.gone:
            return None
        try:
            self.wire = Wire(self.transport.get_extra_info("socket").fileno())
        except OSError as error:  # no descriptors left: the transport has one
            logger.debug("no second descriptor for %s: %s", self.client, error)
        return self.wire

    def call_on_loop(self, function: Callable[..., object], *args: object) -> None:
        """From any thread: have the loop call `function`, if it still runs."""
        try:
            self.state.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            logger.debug("the loop has closed before %s", function)

    def write_now(self, data: bytes) -> None:
        """Write at once, not at the end of the loop's step, where nothing waits before it (W39)."""
        wire = self.wire or self.make_wire()
        if wire is not None and not self.transport.get_write_buffer_size():
            data = data[wire.send(data) :]
        if data:
            self.write(data)

    def write_parts(self, parts: Sequence[bytes]) -> None:
        """Write these behind one another, without a copy where the loop can do that."""
        if self.state.gathers:
            self.transport.writelines(parts)
        else:
            self.write(b"".join(parts))

    def write_rest(self, data: bytes) -> None:
        """Write what a thread could not, if there is still somebody to read it."""
        if not self.gone:
            self.write(data)

    # --------------------------------------------------------- back-pressure

    def pause_writing(self) -> None:
        """asyncio: the write buffer is full."""
        self.write_paused = True

    def resume_writing(self) -> None:
        """asyncio: the write buffer has room again."""
        self.write_paused = False
        if self._room is not None:
            self._room.wake()
        self.room()

    async def drained(self) -> None:
        """Wait until there is room to write. Raises `ClientDisconnected`."""
        while self.write_paused and not self.gone:
            if self._room is None:
                self._room = WaitQueue()
            await self._room.wait()
        if self.gone:
            raise ClientDisconnected("the client is gone")

    # --------------------------------------------------------- files

    async def send_file(self, file: int, offset: int, count: int) -> None:
        """Send a part of an open file; by the kernel where that can be (W41, S10).

        Raises `ClientDisconnected`, and `OSError` where the file is shorter.
        """
        await self._emptied()
        wire = self.wire or self.make_wire()
        while count:
            if wire is None:
                sent = await self._send_block(file, offset, min(count, HIGH_WATER))
            else:
                try:
                    sent = wire.send_file(file, offset, min(count, FILE_BLOCK))
                except BlockingIOError:
                    await self._writable(wire)
                    continue
                if sent < count:
                    await asyncio.sleep(0)  # a client that is fast does not hold the loop
            if not sent:
                raise OSError(f"the file ended {count} bytes before its time")
            self.file_sent += sent
            offset += sent
            count -= sent

    async def _emptied(self) -> None:
        """Wait until nothing waits in the transport. Raises `ClientDisconnected`."""
        if not self.gone and self.transport.get_write_buffer_size():
            self.transport.set_write_buffer_limits(0)
            try:
                await self.drained()
            finally:
                if not self.gone:
                    self.transport.set_write_buffer_limits(HIGH_WATER)
        await self.drained()

    async def _send_block(self, file: int, offset: int, count: int) -> int:
        block = os.pread(file, count, offset)
        self.write(block)
        await self.drained()
        return len(block)

    async def _writable(self, wire: Wire) -> None:
        loop = self.state.loop
        room = self._room = self._room or WaitQueue()
        loop.add_writer(wire.fileno(), room.wake)
        self.file_waits = True
        try:
            await room.wait()
        finally:
            self.file_waits = False
            loop.remove_writer(wire.fileno())
        if self.gone:
            raise ClientDisconnected("the client is gone")

    # --------------------------------------------------------- the ends

    def close_output(self, *, lingering: bool) -> None:
        """Close when everything has been written.

        Where the client is still sending, closing at once would reset the connection, and the
        client would lose the answer: so it is left open for a while, and what comes is thrown
        away (RFC 9112 §9.6).
        """
        self.wire = None
        if self.gone or self.transport.is_closing():
            return
        if not lingering:
            self.transport.close()
            if self.scheme_is_tls:
                self._look_for_the_end()
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._close_at = self.state.clock() + LINGER

    def limit_lingering(self, seconds: float) -> None:
        """End the connection in so many seconds, also where the client does not take the rest."""
        if self._close_at:
            self._close_at = self.state.clock() + seconds
            self._close_anyway = True

    def _end_tls(self) -> None:
        """End a TLS connection as soon as the client has all that was written.

        The transport would wait long for the client to say goodbye too, and a client that keeps
        an idle connection never looks at it. TLS does not ask for it (RFC 8446 §6.1).
        """
        if self.gone:
            return
        self._quiet_looks = self._quiet_looks + 1 if self.delivered() else 0
        if self._quiet_looks < _QUIET_LOOKS:
            self._look_for_the_end()
        else:
            self.transport.abort()

    def delivered(self) -> bool:
        """Whether the client has all that was written, as far as that can be seen."""
        sock = self.transport.get_extra_info("socket")
        return not (self.transport.get_write_buffer_size() or (sock and in_kernel(sock)))

    def _look_for_the_end(self) -> None:
        """Have `_end_tls` look, just behind a turn in which the loop could write.

        Below TLS there is a transport whose buffer cannot be seen: while the kernel has room, it
        is emptied at each turn.
        """
        self._closing_tls = True
        loop = self.state.loop
        loop.call_later(_GOODBYE, loop.call_soon, loop.call_soon, self._end_tls)

    def reset(self) -> None:
        """End with RST, and with what the kernel holds for a client that does not take it.

        That is also how the client of a body that ends with the connection can tell (W36, S14).
        """
        self.wire = None
        raw = self.transport.get_extra_info("socket")
        if raw is not None and raw.family != socket.AF_UNIX:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def abort(self) -> None:
        """End at once, whoever is writing."""
        if self.wire is not None:
            self.wire.shutdown()  # a thread may hold it still; the client shall know at once
        self.reset()

    # --------------------------------------------------------- time

    def sweep_output(self, now: float) -> None:
        """End a connection whose client is too slow, or that has lingered long enough (S2)."""
        size = self.transport.get_write_buffer_size()
        waits = size > 0 or self.file_waits
        closing = self.scheme_is_tls and self.transport.is_closing()
        if closing and not self._closing_tls:
            self._look_for_the_end()  # whoever closed it
        if waits or closing:
            self._look_at_backlog(now, size)
        elif self._backlog is not None:
            self._backlog = None
        if self._close_at:
            if waits and not self._close_anyway:
                self._close_at = now + LINGER
            elif now >= self._close_at:
                self.transport.abort()

    def _look_at_backlog(self, now: float, size: int) -> None:
        sock = self.transport.get_extra_info("socket")
        held = None if sock is None else in_kernel(sock)
        if sock is None or held == 0:
            self._backlog = None  # the client has all that it could take: it is our turn
            return
        taken: object = acknowledged(sock)
        if taken is None:
            taken = size + (held or 0), self.file_sent, self.given()
        if self._backlog is None:
            self._backlog = Backlog(now, taken)
            return
        why = self._backlog.look(now, taken, self.state.config)
        if why:
            size += held or 0
            logger.warning("cut %s: %d bytes waited for the client, and %s", self.name(), size, why)
            self.abort()

    def given(self) -> object:
        """What changes whenever more is written, as far as that can be known."""
        return None

    def name(self) -> str:
        """What is written now, and to whom, for the log."""
        return f"a connection from {peer_name(self.client)}"
