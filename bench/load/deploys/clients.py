"""A client: one connection after the other, one request at a time on it, each answer compared.

The path of a common answer is short, so that the clients need less time than the server: one
`data_received` per answer, in which the end of what came is compared with the body that must come.
Everything else (pieces, chunks) goes the slow way.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable
from time import monotonic
from typing import Any

from bench.load.deploys.outcome import Failure, Outcome

#: Seconds for a whole answer, and until a refused client tries again.
PATIENCE = 15.0
AGAIN = 0.05
OK = b"HTTP/1.1 200 "

#: The bytes of a request and the body that must come, for a number that is this request's alone.
Ask = Callable[[int], tuple[bytes, bytes]]


class Board:
    """What all clients share: where they ask, what they have seen, whether they are to end."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.host, self.port, self.tls = host, port, tls
        self.outcome = Outcome()
        self.loop = asyncio.get_running_loop()
        self.clients: list[Client] = []
        #: Answered requests are the last ones; a refused client goes home.
        self.stopping = self.ending = False
        self.all_home = asyncio.Event()
        self.numbers = 0

    def number(self) -> int:
        """A number that no other request has."""
        self.numbers += 1
        return self.numbers

    def check(self) -> None:
        """Give up what has taken too long; once a second."""
        late = monotonic() - PATIENCE
        for client in self.clients:
            if client.begun and client.begun < late:
                client.fail("timeout", f"{len(client.data)} bytes came")
        self.loop.call_later(1, self.check)

    def go_home(self, client: Client) -> None:
        """A client asks no more."""
        client.home = True
        if all(each.home for each in self.clients):
            self.all_home.set()


class Client(asyncio.Protocol):
    """Asks for `what` again and again, with a pause of up to `pause` seconds in between.

    `most`: requests on a connection; then the client ends it.
    """

    def __init__(
        self, board: Board, what: str, ask: Ask | None, pause: float = 0, most: int = 0
    ) -> None:
        self.board, self.what, self.ask, self.pause = board, what, ask, pause
        self.most = most or 1 << 60
        self.transport: Any = None
        self._next: asyncio.TimerHandle | None = None
        self.opened = self.begun = 0.0
        self.used = 0
        #: What has come of the answer; the head of the last one, which names the worker.
        self.data = self.head = b""
        self.wanted = b""
        #: The answer that came was the last on its connection.
        self.last = self.home = False
        board.clients.append(self)
        board.outcome.answers.setdefault(what, 0)

    # --------------------------------------------------------- connections

    def connect(self) -> None:
        """Open a connection; on it, ask."""
        if self.board.stopping:
            self.board.go_home(self)
            return
        self.begun = self.opened = monotonic()
        self.used, self.head, self.data, self.last = 0, b"", b"", False
        connecting = self.board.loop.create_task(self._connect())
        connecting.add_done_callback(lambda task: task.result())

    async def _connect(self) -> None:
        board = self.board
        try:
            await board.loop.create_connection(lambda: self, board.host, board.port, ssl=board.tls)
        except OSError as error:
            self._note("refused", repr(error))
            self.begun = 0.0
            if board.ending:
                board.go_home(self)
            else:
                board.loop.call_later(AGAIN, self.connect)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.send()

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self._next is not None:
            self._next.cancel()
        if self.begun:
            how = "ended" if error is None else repr(error)
            kind = "cut" if self.data else "no byte"
            self._note(kind, f"{how}, after {self.data[-80:]!r}" if self.data else how)
            self.begun = 0.0
        elif not self.last:
            self.board.outcome.idle += 1
        self.connect()

    def fail(self, kind: str, detail: str) -> None:
        """Note a failure, and leave the connection."""
        self._note(kind, detail)
        self.leave()

    def leave(self) -> None:
        """Close the connection; the next one follows."""
        self.begun, self.last = 0.0, True
        if self.transport is not None:
            self.transport.abort()

    def _note(self, kind: str, detail: str) -> None:
        worker = (self.head or self.data).lower().partition(b"x-worker: ")[2].partition(b"\r")[0]
        failure = Failure(
            kind,
            self.what,
            self.begun,
            monotonic(),
            self.opened,
            self.used > 0,
            worker.decode("latin-1"),
            detail,
        )
        self.board.outcome.failures.append(failure)

    # --------------------------------------------------------- requests

    def send(self) -> None:
        """Ask, if the connection is still there."""
        if self.transport is None or self.transport.is_closing():
            return
        if self.board.stopping:
            self.leave()
            return
        assert self.ask is not None
        request, self.wanted = self.ask(self.board.number())
        self.data = b""
        self.begun = monotonic()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if not self.begun:
            self.fail("wrong", f"said without being asked: {data[:80]!r}")
            return
        wanted = self.wanted
        if not self.data and data.startswith(OK) and data.endswith(wanted):
            head = data[: -len(wanted)].lower()
            if head.endswith(b"\r\n\r\n") and head.find(b"\r\n\r\n") == len(head) - 4:
                length = head.partition(b"\r\ncontent-length: ")[2].partition(b"\r")[0]
                if length == b"%d" % len(wanted):
                    self.answered(head)
                    return
        self.data += data
        self._read()

    def answered(self, head: bytes) -> None:
        """A right answer has come, with this `head` in lower case: go on."""
        board = self.board
        board.outcome.answers[self.what] += 1
        self.begun = 0.0
        self.head, self.data = head, b""
        self.used += 1
        if b"\r\nconnection: close\r\n" in head:
            board.outcome.told += 1
            self.leave()
        elif self.used >= self.most or board.stopping:
            self.leave()
        elif self.pause:
            self.send_later()
        else:
            self.send()

    def send_later(self) -> None:
        """Ask after a pause, if this connection is still there."""
        self._next = self.board.loop.call_later(random.uniform(0, self.pause), self.send)

    def _read(self) -> None:
        """Look whether the answer is whole by now."""
        head, end, body = self.data.partition(b"\r\n\r\n")
        if not end:
            return
        if not head.startswith(OK):
            self.fail("status", repr(head[:200]))
            return
        head = (head + end).lower()
        if b"\r\ntransfer-encoding: chunked\r\n" in head:
            self._read_chunked(head, body)
            return
        length = head.partition(b"\r\ncontent-length: ")[2].partition(b"\r")[0]
        if not length:
            self.fail("wrong", f"an answer without a length: {head!r}")
        elif len(body) >= int(length):
            self._compare(head, body)

    def _read_chunked(self, head: bytes, rest: bytes) -> None:
        if not rest.endswith(b"0\r\n\r\n"):
            return
        body = b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            body += rest[:length]
            rest = rest[length + 2 :]
            if not length:
                self._compare(head, body)
                return

    def _compare(self, head: bytes, body: bytes) -> None:
        if body == self.wanted:
            self.answered(head)
        else:
            self.fail("wrong", f"{body[:80]!r}, not {self.wanted[:80]!r}")
