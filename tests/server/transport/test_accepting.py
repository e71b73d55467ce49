"""Accepting at the same sockets as other workers do, each what it is to have (P8)."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bridge.loops.factory import new_event_loop
from bridge.server.config.config import Config
from bridge.server.network.load_board import LoadBoard
from bridge.server.state import ServerState
from bridge.server.transport.accepting import LoneListener, PlainListener
from bridge.server.transport.fair_share import WorkerLoad

#: Seconds that nothing here takes, on the slowest machine.
LONG = 60
SEEN_BY: contextvars.ContextVar[str] = contextvars.ContextVar("SEEN_BY", default="nobody")


class Failing(socket.socket):
    """A listener whose next accepts fail in some way."""

    errors: list[OSError]

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a client."""
        if self.errors:
            raise self.errors.pop()
        return super().accept()


class Open(asyncio.Protocol):
    """A connection that is counted while it is open."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.context_is_new = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.context_is_new = SEEN_BY.get() == "nobody"
        self._worker.state.connections.add(self)  # type: ignore[arg-type]
        transport.write(b"hello")

    def connection_lost(self, error: Exception | None) -> None:
        SEEN_BY.set("an app")
        self._worker.state.connections.discard(self)


class Worker:
    """A worker that shares its loop with the others, but neither its socket nor its state."""

    def __init__(self, site: Site) -> None:
        self._board = site.board
        self.state = ServerState(Config(app="x:y"), site.loop)
        self.sock = Failing(fileno=os.dup(site.sock.fileno()))
        self.sock.errors = []
        self.seat = site.board.take()
        self.load = WorkerLoad(self.seat, self.state.connections, self.state.handshakes)
        self.state.connections.watch(self.load.publish)
        self.listener: PlainListener | None = None

    def listen(self) -> None:
        self.load.open()
        self.listener = PlainListener(self.sock, lambda: Open(self), self.state, self.load)

    def close(self) -> None:
        """Accept no more, as a worker that retires."""
        self.load.close()
        if self.listener is not None:
            self.listener.close()
            self.listener = None

    @property
    def is_open(self) -> bool:
        """Whether the others see that it accepts."""
        other = self._board.take()
        try:
            return self.seat.index in other.others()
        finally:
            other.free()

    @property
    def connections(self) -> list[Open]:
        return list(self.state.connections)  # type: ignore[arg-type]


class Site:
    """A socket that is listened at, its clients, and the loop."""

    def __init__(self, family: socket.AddressFamily, address: Any, loop_factory: Any) -> None:
        self._runner = asyncio.Runner(loop_factory=loop_factory)
        self.failures: list[dict[str, Any]] = []
        self.loop = self._runner.get_loop()
        self.loop.set_exception_handler(lambda _, context: self.failures.append(context))
        self.board = LoadBoard()
        self._family = family
        self.sock = socket.socket(family)
        self.sock.bind(address)
        self.sock.listen(200)
        self.sock.setblocking(False)
        self.workers: list[Worker] = []
        self.clients: list[socket.socket] = []
        self.closed = 0

    def add(self, count: int, listens: bool = True) -> list[Worker]:
        """Have more workers; those that do not listen are blocked, and have said they accept."""
        workers = [Worker(self) for _ in range(count)]
        for worker in workers:
            if listens:
                worker.listen()
            else:
                worker.load.open()
        self.workers += workers
        return workers

    def connect(self, count: int = 1) -> None:
        """Have so many clients come."""
        for _ in range(count):
            client = socket.socket(self._family)
            client.connect(self.sock.getsockname())
            self.clients.append(client)

    def until(self, holds: Callable[[], object]) -> None:
        """Let the loop turn until that holds."""

        async def turning() -> None:
            while not holds():
                await asyncio.sleep(0)

        self._runner.run(asyncio.wait_for(turning(), LONG))

    def until_all_are_open(self) -> None:
        """Let the loop turn until each client is connected, but for those that were closed."""
        self.until(lambda: sum(self.loads()) == len(self.clients) - self.closed)

    def abort(self, worker: Worker) -> None:
        """Close the connections of one worker."""
        for connection in worker.connections:
            self.closed += 1
            connection.transport.abort()

    def loads(self) -> list[int]:
        """How many connections each worker has."""
        return [len(worker.state.connections) for worker in self.workers]

    def close(self) -> None:
        """End all."""
        for worker in self.workers:
            worker.close()
            for connection in worker.connections:
                connection.transport.abort()
        self.until(lambda: not sum(self.loads()))
        self._runner.close()
        for sock in (self.sock, *self.clients, *(worker.sock for worker in self.workers)):
            sock.close()


LOOPS = pytest.mark.parametrize(
    "loop", [asyncio.SelectorEventLoop, new_event_loop], ids=["asyncio", "uvloop"]
)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site(socket.AF_INET, ("127.0.0.1", 0), new_event_loop)
    yield site
    site.close()
    assert site.failures == []


@LOOPS
@pytest.mark.parametrize("kind", ["tcp", "ipv6", "unix"])
@pytest.mark.parametrize("at_once", [1, 5, 64])
def test_connections_are_spread(kind: str, loop: Any, at_once: int) -> None:
    """P8: one by one or all at once, at a port or a path: 64 on 4 workers are 16 on each, about."""
    families = {
        "tcp": (socket.AF_INET, ("127.0.0.1", 0)),
        "ipv6": (socket.AF_INET6, ("::1", 0)),
        "unix": (socket.AF_UNIX, ""),
    }
    site = Site(*families[kind], loop)
    try:
        site.add(4)
        while len(site.clients) < 64:
            site.connect(min(at_once, 64 - len(site.clients)))
            site.until_all_are_open()
        # Who is too late by 20 ms, on a machine that is busy, has left one to another.
        assert sum(site.loads()) == 64
        assert all(abs(load - 16) <= 1 for load in site.loads())
    finally:
        site.close()
    assert site.failures == []


def test_connections_that_close(site: Site) -> None:
    """P8: the worker whose connections have closed gets the next ones, though it looked away."""
    one, _ = site.add(2)
    site.connect(20)
    site.until_all_are_open()
    site.abort(one)
    site.until_all_are_open()
    site.connect(8)
    site.until_all_are_open()
    assert site.loads() == [8, 10]


def test_a_worker_that_is_blocked(site: Site) -> None:
    """P8: what it should have taken is taken by another."""
    [one], [blocked] = site.add(1), site.add(1, listens=False)
    site.connect(20)
    site.until_all_are_open()
    assert site.loads() == [20, 0]
    assert [one.is_open, blocked.is_open] == [True, False]


def test_room_that_comes_while_it_looks_away(site: Site) -> None:
    """P8: a connection that closes makes room for one that waits; it is no part of what ended."""
    [blocked] = site.add(1, listens=False)
    [one] = site.add(1)
    site.connect(3)
    site.until_all_are_open()
    blocked.load.publish()  # it lives: it is waited for again
    site.connect()
    site.until(lambda: one.load._away)
    site.abort(one)
    site.until(lambda: [each.context_is_new for each in one.connections] == [True])


def test_a_listener_that_closes(site: Site) -> None:
    """P8: a worker that retires leaves what waits to others, whether it looks away or not."""
    [blocked] = site.add(1, listens=False)
    one, two = site.add(2)
    site.connect(8)
    site.until_all_are_open()
    blocked.load.publish()
    site.connect()
    site.until(lambda: one.load._away and two.load._away)
    one.close()
    site.until_all_are_open()
    assert site.loads() == [0, 4, 5]
    two.close()
    assert not one.is_open
    assert not two.is_open
    site.connect()
    [three] = site.add(1)
    blocked.close()
    site.until_all_are_open()
    assert site.loads() == [0, 4, 5, 1]
    three.close()


def test_the_last_worker_takes_all(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """P2 P8: at the end of all workers it takes what waits, and not only its share."""
    site.add(1, listens=False)
    [one] = site.add(1)
    assert one.listener is not None
    site.connect(12)
    one.listener.close()
    one.listener.take_waiting()
    one.listener = None
    site.until_all_are_open()
    assert site.loads() == [0, 12]

    [two] = site.add(1)
    assert two.listener is not None
    two.sock.errors = [OSError(errno.EMFILE, "on purpose")]
    site.connect()
    two.listener.close()
    two.listener.take_waiting()
    two.listener = None
    assert caplog.text.count("cannot accept connections") == 1
    site.add(1)
    site.until_all_are_open()
    assert site.loads() == [0, 12, 0, 1]


def test_no_descriptors_left(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """P8, S2: a worker without descriptors says that it accepts nothing; it goes on later."""
    one, two = site.add(2)
    one.sock.errors = [OSError(errno.EMFILE, "on purpose")]
    site.connect(6)
    site.until(lambda: caplog.messages)
    assert "cannot accept connections: [Errno 24] on purpose; going on in 0.5 s" in caplog.text
    assert not one.is_open
    site.until_all_are_open()
    site.until(lambda: one.is_open)
    site.connect(6)
    site.until_all_are_open()
    assert site.loads() == [6, 6]
    two.sock.errors = [OSError(errno.EMFILE, "on purpose")]
    site.connect(2)
    site.until(lambda: not two.is_open)
    two.close()
    site.until_all_are_open()
    assert site.loads() == [8, 6]


def test_no_descriptors_left_after_looking_away(site: Site) -> None:
    """P8, S2: a worker that has waited for another in vain may be out of descriptors."""
    [blocked] = site.add(1, listens=False)
    [one] = site.add(1)
    site.connect(3)
    site.until_all_are_open()
    blocked.load.publish()
    site.connect()
    site.until(lambda: one.load._away)
    one.sock.errors = [OSError(errno.EMFILE, "on purpose")]
    site.until(lambda: not one.is_open)
    site.until_all_are_open()
    assert site.loads() == [0, 4]


def test_room_that_comes_too_late(site: Site) -> None:
    """P8: a worker that closes accepts nothing, though it has just been told that it has room."""
    [blocked] = site.add(1, listens=False)
    [one] = site.add(1)
    site.connect(6)
    site.until_all_are_open()
    blocked.load.publish()
    site.connect()
    site.until(lambda: one.load._away)
    site.abort(one)
    for connection in one.connections:
        one.state.connections.discard(connection)  # type: ignore[arg-type]
    assert not one.load._away
    one.close()
    [two] = site.add(1)
    blocked.close()
    site.until_all_are_open()
    assert len(two.connections) == 1


def test_a_client_that_has_left(site: Site) -> None:
    """P8: before it was accepted, or between that and its beginning."""
    [one] = site.add(1)
    one.sock.errors = [BlockingIOError("on purpose"), ConnectionAbortedError("on purpose")]
    site.connect(3)
    site.until_all_are_open()


@LOOPS
def test_alone(loop: Any) -> None:
    """P8: what cannot be taken with the first of many is left to the loop, and is not lost."""
    site = Site(socket.AF_INET, ("127.0.0.1", 0), loop)
    try:
        [worker] = site.add(1, listens=False)
        listener = LoneListener(worker.sock, lambda: Open(worker), worker.state)
        left = [OSError(errno.EMFILE, "on purpose"), ConnectionAbortedError("on purpose")]
        worker.sock.errors = left if loop is new_event_loop else []  # asyncio accepts them all
        worker.sock.setblocking(True)
        site.loop.run_until_complete(listener.open())
        site.connect(100)
        site.until_all_are_open()
        assert worker.sock.errors == []
        site.connect(1)
        site.until_all_are_open()
        site.connect(20)
        site.until(lambda: len(worker.connections) > 101)
        listener.close()  # the others have come too late, or just in time
    finally:
        site.close()
    assert site.failures == []


def test_a_socket_that_is_closed(site: Site) -> None:
    """S40: it cannot be listened at, which is an error of the system."""
    [worker] = site.add(1, listens=False)
    worker.sock.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        worker.listen()
    listener = LoneListener(worker.sock, lambda: Open(worker), worker.state)
    with pytest.raises(OSError, match="Bad file descriptor"):
        site.loop.run_until_complete(listener.open())
    listener.close()
