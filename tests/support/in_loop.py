"""The server's protocol object on a real loop and a real socket, driven from within the process.

What a client sends is handed to `data_received` in exactly the pieces that the test wants (a
kernel would join them), as long as the transport is reading; everything else is real: the
transport, its back-pressure, the answers as they leave the socket. Thousands of connections a
second, so that a request can be cut at every position.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from bridge.loops.factory import new_event_loop
from bridge.server.apps.handlers import count_requests, make_handler
from bridge.server.config.config import Config
from bridge.server.http1.connection import Http1Connection
from bridge.server.http1.factory import connection_factory
from bridge.server.metrics.figures import Figures
from bridge.server.state import ServerState
from bridge.server.websocket.exchange import WebSocketHandler

T = TypeVar("T")

#: Turns of the loop after which a connection that does nothing is said to hang.
PATIENCE = 5_000


class InLoop:
    """A server without listeners: each `talk` is one connection of that `kind`.

    Nothing looks after the connections once a second.
    """

    def __init__(
        self, app: Any, kind: type[Http1Connection] = Http1Connection, **settings: Any
    ) -> None:
        self.runner = asyncio.Runner(loop_factory=new_event_loop)
        self.loop = self.runner.get_loop()
        self.loop.set_exception_handler(self._failed)
        self.failures: list[dict[str, Any]] = []
        self.config = Config(app=app, access_log=False, **settings)
        self.state = ServerState(self.config, self.loop)
        self._handler = make_handler(app, {})
        self._websocket = WebSocketHandler(app, self.state, {})
        self._connection = connection_factory(self.state, self._handler, self._websocket, kind)

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.failures.append(context)

    def count(self) -> Figures:
        """Count what comes from now on."""
        count_requests(self.state, self.config.app, self._handler)
        assert self.state.figures is not None
        self._websocket.use_meters(self.state.figures.meter, "/")
        return self.state.figures

    def close(self) -> None:
        """End the loop."""
        self.runner.close()

    def talk(self, pieces: Iterable[bytes]) -> bytes:
        """One connection: send the pieces, then FIN; all bytes that came back until its end."""
        return self.run(self._talk(pieces))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the loop; raises `AssertionError` if the loop reports an error meanwhile."""
        result = self.runner.run(work)
        if self.failures:
            context = self.failures.pop()
            raise AssertionError(f"the loop reported {context!r}") from context.get("exception")
        return result

    async def _talk(self, pieces: Iterable[bytes]) -> bytes:
        talk = await self.open()
        with talk.sock:
            for piece in pieces:
                if not await talk.send(piece):
                    break
            return await talk.end()

    async def open(self, *, tcp: bool = False) -> Talk:
        """A new connection, on a Unix socket if not on TCP."""
        ours, theirs = tcp_pair() if tcp else socket.socketpair()
        ours.setblocking(False)
        transport, protocol = await self.loop.connect_accepted_socket(self._connection, theirs)
        return Talk(ours, transport, protocol)


class Talk:
    """One connection of an `InLoop`, from its client's side; `answer` is what has come back."""

    def __init__(
        self, sock: socket.socket, transport: asyncio.Transport, protocol: Http1Connection
    ) -> None:
        self.sock = sock
        self.transport = transport
        self.protocol = protocol
        self.answer = bytearray()
        self.ended = False

    async def send(self, piece: bytes) -> bool:
        """Hand over one piece, as soon as the server reads; False if it does not any more."""
        for _ in range(PATIENCE):
            if self.transport.is_closing() or self.ended:
                return False
            if self.transport.is_reading():
                self.protocol.data_received(piece)
                return True
            await self.turn()
        raise AssertionError(f"the connection does not read after {bytes(self.answer)!r:.500}")

    async def end(self) -> bytes:
        """Send FIN, and wait for the end of the connection; everything that has come back."""
        self.sock.shutdown(socket.SHUT_WR)
        for _ in range(PATIENCE):
            if self.ended:
                return bytes(self.answer)
            await self.turn()
        raise AssertionError(f"the connection hangs after {bytes(self.answer)!r:.500}")

    async def turn(self) -> None:
        """Let the loop turn once, and take what has come."""
        await asyncio.sleep(0)
        try:
            data = self.sock.recv(1 << 20)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        self.answer += data
        self.ended = not data


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection; the second one has accepted it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        return ours, listener.accept()[0]


@contextmanager
def in_loop(
    app: Any, kind: type[Http1Connection] = Http1Connection, **settings: Any
) -> Iterator[InLoop]:
    """An `InLoop` for a block."""
    server = InLoop(app, kind, **settings)
    try:
        yield server
    finally:
        server.close()


def bytewise(data: bytes) -> list[bytes]:
    """`data` in pieces of one byte."""
    return [data[i : i + 1] for i in range(len(data))]


def cuts(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """`data` cut in two, at every position if it is not long.

    Beyond 2 KiB only the first and last 100 positions, and every 1009th between.
    """
    size = len(data)
    for at in range(1, size):
        if size <= 2048 or at <= 100 or at >= size - 100 or at % 1009 == 0:
            yield data[:at], data[at:]
