"""The server's protocol object on a real loop and a real socket, driven from within the process.

What a client sends is handed to `data_received` in exactly the pieces that the test wants (a
kernel would join them), as long as the transport is reading; everything else is real: the
transport, its back-pressure, the answers as they leave the socket. Thousands of connections a
second, so that a request can be cut at every position.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from bridge.server.config import Config
from bridge.server.handlers import make_handler
from bridge.server.http import HttpProtocol
from bridge.server.loop import new_event_loop
from bridge.server.state import ServerState
from bridge.server.websocket import WebSocketHandler

#: Turns of the loop after which a connection that does nothing is said to hang.
PATIENCE = 5_000


class InLoop:
    """A server without listeners: each `talk` is one connection."""

    def __init__(self, app: Any, **settings: Any) -> None:
        self.runner = asyncio.Runner(loop_factory=new_event_loop)
        self.loop = self.runner.get_loop()
        self.loop.set_exception_handler(self._failed)
        self.failures: list[dict[str, Any]] = []
        self.config = Config(app=app, access_log=False, **settings)
        self.state = ServerState(self.config, self.loop)
        self.handler = make_handler(app, {})
        self.websocket = WebSocketHandler(app, self.state, {})

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.failures.append(context)

    def close(self) -> None:
        """End the loop."""
        self.runner.close()

    def talk(self, pieces: Iterable[bytes]) -> bytes:
        """One connection: send the pieces, then FIN; all bytes that came back until its end."""
        answer = self.runner.run(self._talk(pieces))
        if self.failures:
            context = self.failures.pop()
            raise AssertionError(f"the loop reported {context!r}") from context.get("exception")
        return answer

    async def _talk(self, pieces: Iterable[bytes]) -> bytes:
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)
            transport, protocol = await self.loop.connect_accepted_socket(self._protocol, theirs)
            answer = bytearray()
            for piece in pieces:
                while not transport.is_reading() and not transport.is_closing():
                    await self._turn(ours, answer)
                if transport.is_closing():
                    break
                protocol.data_received(piece)
            ours.shutdown(socket.SHUT_WR)
            for _ in range(PATIENCE):
                if await self._turn(ours, answer):
                    return bytes(answer)
            raise AssertionError(f"the connection hangs after {bytes(answer)!r:.500}")

    def _protocol(self) -> HttpProtocol:
        return HttpProtocol(self.state, self.handler, self.websocket)

    async def _turn(self, sock: socket.socket, answer: bytearray) -> bool:
        """Let the loop turn once; True where the connection has ended."""
        await asyncio.sleep(0)
        try:
            data = sock.recv(1 << 20)
        except BlockingIOError:
            return False
        except ConnectionError:
            return True
        answer += data
        return not data


@contextmanager
def in_loop(app: Any, **settings: Any) -> Iterator[InLoop]:
    """An `InLoop` for a block."""
    server = InLoop(app, **settings)
    try:
        yield server
    finally:
        server.close()


def bytewise(data: bytes) -> list[bytes]:
    """`data` in pieces of one byte."""
    return [data[i : i + 1] for i in range(len(data))]


def cuts(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """`data` cut in two, at every position where it is not long.

    Beyond 2 KiB only the first and last 300 positions, and every 509th between.
    """
    size = len(data)
    for at in range(1, size):
        if size <= 2048 or at <= 300 or at >= size - 300 or at % 509 == 0:
            yield data[:at], data[at:]
