"""Clients that hold keep-alive connections and notice every request that fails.

A client does what a careful HTTP/1.1 client does (RFC 9112 §9.3, §9.6): it uses a connection until
the server says ``Connection: close`` or closes it while it is idle, and then opens another. What
must never happen is that a request was sent and no whole answer came.

A WebSocket client sends a message, waits for its echo, and so on. When the server closes with 1012
(service restart) it connects again and sends the unanswered message anew, as that code asks it to
(RFC 6455 §7.4, IANA's registry). Any other end of the connection, and a refused handshake, is a
failure.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.support.hosts import Host


class Load:
    """Closed-loop clients on one host; what they saw is in the attributes."""

    def __init__(self, host: Host, paths: list[str], pauses: Callable[[], float]) -> None:
        self.host = host
        self.paths = self.socket_paths = paths
        self.pauses = pauses
        self.answered = 0
        self.failed: list[str] = []
        #: Times that the server ended a connection by saying so, and by closing it while idle.
        self.told_to_close = 0
        self.closed_idle = 0
        #: Bodies of answers, and how often each came.
        self.bodies: dict[str, int] = {}
        #: Messages that came back, and times that a WebSocket was closed with 1012.
        self.echoed = 0
        self.restarted = 0
        self._stop = asyncio.Event()

    @asynccontextmanager
    async def running(self, clients: int, sockets: int = 0) -> AsyncIterator[Load]:
        """Run that many HTTP and WebSocket clients as long as the block lasts."""
        tasks = [asyncio.create_task(self._client(at)) for at in range(clients)]
        tasks += [asyncio.create_task(self._echo_client(at)) for at in range(sockets)]
        try:
            yield self
        finally:
            self._stop.set()
            await asyncio.wait_for(asyncio.gather(*tasks), 30)

    async def until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Go on until `condition` holds."""
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.02)

    async def more(self, count: int) -> None:
        """Go on for `count` more answers."""
        goal = self.answered + count
        await self.until(lambda: self.answered >= goal)

    async def _client(self, number: int) -> None:
        path = self.paths[number % len(self.paths)]
        while not self._stop.is_set():
            try:
                reader, writer = await asyncio.open_connection(self.host.address, self.host.port)
            except OSError as error:
                self.failed.append(f"connect: {error!r}")
                await asyncio.sleep(0.05)
                continue
            try:
                await self._connection(reader, writer, path)
            finally:
                writer.close()

    async def _connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str
    ) -> None:
        request = f"GET {path} HTTP/1.1\r\nHost: {self.host.address}\r\n\r\n".encode()
        used = 0
        while not self._stop.is_set():
            if reader.at_eof():
                self.closed_idle += 1
                return
            try:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                body = await reader.readexactly(length)
            except (OSError, EOFError) as error:
                self.failed.append(f"request {used} of a connection for {path}: {error!r}")
                return
            if not head.startswith(b"HTTP/1.1 200 "):
                self.failed.append(f"{path}: {head!r}")
            self.answered += 1
            used += 1
            text = body.decode()
            self.bodies[text] = self.bodies.get(text, 0) + 1
            if b"\r\nconnection: close\r\n" in head.lower():
                self.told_to_close += 1
                return
            await asyncio.sleep(self.pauses())

    async def _echo_client(self, number: int) -> None:
        url = self.host.url(self.socket_paths[number % len(self.socket_paths)], "ws")
        count = 0
        while not self._stop.is_set():
            try:
                async with connect(url, open_timeout=30, proxy=None) as socket:
                    while not self._stop.is_set():
                        text = f"message {count} of {number}"
                        await socket.send(text)
                        answer = await socket.recv()
                        if answer != text:
                            self.failed.append(f"sent {text!r}, got {answer!r}")
                        count += 1
                        self.echoed += 1
                        await asyncio.sleep(self.pauses())
            except ConnectionClosed as error:
                if error.rcvd is None or error.rcvd.code != 1012:
                    self.failed.append(f"WebSocket {number} after {count} messages: {error!r}")
                self.restarted += 1
            except (OSError, EOFError, WebSocketException) as error:
                self.failed.append(f"WebSocket {number}: {error!r}")
                await asyncio.sleep(0.05)


def short_pauses() -> float:
    """Mostly none, sometimes some milliseconds: connections are idle now and then."""
    return random.choice((0, 0, 0, 0.002, 0.03))


def long_pauses() -> float:
    """Between nothing and some seconds: connections are idle most of the time."""
    return random.uniform(0, 2.5)
