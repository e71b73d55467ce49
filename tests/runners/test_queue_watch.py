"""The watch over a pool's queue: who is woken, who is told, and what is refused."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator

import pytest

from bridge.errors import Overloaded, SelfRequest
from bridge.runners import Runner
from bridge.runners.self_requests import self_connections
from bridge.runners.thread import ThreadRunner
from tests.runners.jobs import Call, blocked, run_with, until


class Connections:
    """TCP connections of this process: with itself, and with another one."""

    def __init__(self) -> None:
        self._sockets = [listener := socket.create_server(("127.0.0.1", 0))]
        self._address = listener.getsockname()

    def own(self) -> tuple[str, int]:
        """A connection of this process with itself; the end of the client."""
        client = socket.create_connection(self._address)
        self._sockets += [client, self._sockets[0].accept()[0]]
        address: tuple[str, int] = client.getsockname()
        return address

    def others(self) -> tuple[str, int]:
        """A client that is not this process."""
        script = (
            "import socket, sys; sock = socket.create_connection(('127.0.0.1', int(sys.argv[1])));"
            "print(flush=True); sys.stdin.read()"
        )
        argv = [sys.executable, "-c", script, str(self._address[1])]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        sock, address = self._sockets[0].accept()
        self._sockets.append(sock)
        return address[0], address[1]

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()
        if hasattr(self, "_process"):
            self._process.communicate()


@pytest.fixture
def connections() -> Iterator[Connections]:
    made = Connections()
    yield made
    made.close()


def test_request_to_itself_over_a_socket(connections: Connections) -> None:
    """W53: where every thread waits for the app's own requests, the newest of them is refused."""

    async def main(runner: Runner) -> None:
        gate = threading.Event()
        stuck = Call(gate.wait)
        runner.submit(stuck)
        await until(lambda: runner.stats().queued == 0)
        running = Call(gate.wait, peer=connections.own())  # the first thread waits for this one
        runner.submit(running)
        await until(lambda: runner.stats()[:3] == (2, 0, 0))
        others = Call(lambda: "others", peer=connections.others())
        own = Call(lambda: "own", peer=connections.own())  # ... which waits for this one
        for call in (others, own):
            runner.submit(call)
        with pytest.raises(SelfRequest, match="request to itself"):
            await own.done
        assert runner.stats().rejected == 1
        gate.set()
        assert await others.done == "others"
        await stuck.done
        await running.done

    run_with(ThreadRunner(2), main)


def test_requests_to_itself_that_can_be_answered_come_first(connections: Connections) -> None:
    """W53: when one of the app's own requests had to be refused, the others go before the rest."""

    async def main(runner: Runner) -> None:
        gates = [threading.Event() for _ in range(2)]
        running = [Call(gate.wait) for gate in gates]
        for call in running:
            runner.submit(call)
        await until(lambda: runner.stats()[:3] == (2, 0, 0))
        order: list[str] = []
        rest = [Call(lambda: order.append("rest")) for _ in range(3)]
        own = [Call(lambda: order.append("own"), peer=connections.own()) for _ in range(2)]
        for call in (*rest, *own):
            runner.submit(call)
        with pytest.raises(SelfRequest):
            await own[1].done
        gates[0].set()
        for call in (*rest, own[0]):
            await call.done
        assert order == ["own", "rest", "rest", "rest"]
        gates[1].set()
        for call in running:
            await call.done

    run_with(ThreadRunner(2), main)


def test_request_to_itself_that_waits_its_turn(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W52, W53: while a thread is left that waits for nobody, an own request keeps its place."""
    searches: list[int] = []

    def search(peers: Collection[tuple[str, int]]) -> set[tuple[str, int]]:
        found = self_connections(peers)
        searches.append(len(found))
        return found

    monkeypatch.setattr("bridge.runners.queue_watch.self_connections", search)

    async def main(runner: Runner) -> None:
        gate = threading.Event()
        calls = blocked(runner, 2, gate)
        await until(lambda: runner.stats()[:3] == (2, 0, 0))
        own = Call(lambda: "own", peer=connections.own())
        runner.submit(own)
        await until(lambda: len(searches) >= 3)
        assert (runner.stats().queued, runner.stats().rejected) == (1, 0)
        assert own.waited
        gate.set()
        assert await own.done == "own"
        for call in calls:
            await call.done
        assert set(searches) == {1}

    run_with(ThreadRunner(2), main)


def test_picked_up_behind_a_blocked_worker() -> None:
    """W52: a job queued behind a thread that then blocks is run by another one."""

    async def main(runner: Runner) -> None:
        gate = threading.Event()
        (stuck,) = blocked(runner, 1, gate)
        await until(lambda: runner.stats().queued == 0)
        for _ in range(20):
            behind = Call(int)
            runner.submit(behind)
            assert await behind.done == 0
        assert not stuck.done.done()
        gate.set()
        await stuck.done

    run_with(ThreadRunner(8), main)


def test_waits_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """W52: without `queue_timeout` what waits keeps its place, however long that is."""

    async def main(runner: Runner) -> None:
        gate = threading.Event()
        (stuck,) = blocked(runner, 1, gate)
        await until(lambda: runner.stats().queued == 0)
        waiting = [Call(lambda: "ran") for _ in range(20)]
        for call in waiting:
            runner.submit(call)
        loop = asyncio.get_running_loop()
        later = loop.time() + 100_000
        with monkeypatch.context() as patch:  # a day or so
            patch.setattr(loop, "time", lambda: later)
            await asyncio.sleep(0)
            assert runner.stats().oldest_wait > 99_000
        await until(lambda: waiting[-1].waited)
        assert (runner.stats().queued, runner.stats().rejected) == (20, 0)
        gate.set()
        for call in (stuck, *waiting):
            await call.done

    run_with(ThreadRunner(1), main)


def test_queue_timeout() -> None:
    """W52: with `queue_timeout` those that wait longer are refused, the oldest first."""

    async def main(runner: Runner) -> None:
        gate = threading.Event()
        (stuck,) = blocked(runner, 1, gate)
        await until(lambda: runner.stats().queued == 0)
        waiting = [Call(int) for _ in range(5)]
        for call in waiting:
            runner.submit(call)
        for call in waiting:
            with pytest.raises(Overloaded, match="queue_timeout"):
                await call.done
        assert (runner.stats().queued, runner.stats().rejected) == (0, 5)
        gate.set()
        await stuck.done
        again = Call(lambda: "fine")
        runner.submit(again)
        assert await again.done == "fine"

    run_with(ThreadRunner(1, queue_timeout=0.02), main)


def test_told_that_it_waits() -> None:
    """W52: what waits for long is told so, also while the queue moves."""

    async def main(runner: Runner) -> None:
        never = threading.Event()
        calls = [Call(lambda: never.wait(0.02)) for _ in range(60)]
        for call in calls:
            runner.submit(call)
        for call in calls:
            await call.done
        assert calls[-1].waited

    run_with(ThreadRunner(1), main)
