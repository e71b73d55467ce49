"""The watch over a pool's queue: what is woken, what is told, and what is refused."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import Any

import pytest

from bridge.errors import BridgeError, Overloaded, SelfRequest
from bridge.runners import Runner
from bridge.runners.threads.queue_watch import TICK, QueueWatch
from bridge.runners.threads.runner import ThreadRunner
from bridge.runners.threads.self_requests import self_connections
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
    """W53: if every thread waits for the app's own requests, the newest of them is refused."""

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

    monkeypatch.setattr("bridge.runners.threads.queue_watch.self_connections", search)

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


class Watched:
    """A pool whose threads and jobs are what a test says, and a loop whose time it sets."""

    def __init__(self, jobs: list[Any], timeout: float = 0.0) -> None:
        self.jobs = deque(jobs)
        self.now = 0.0
        self.delay: float | None = None
        self.woken = 0
        self.threads = 0  # that can still be woken
        self.slow = 0.0  # seconds that it takes to wake one
        self.dead = False
        self.busy: list[Any] = []
        self.taken: set[Any] = set()  # by a thread, before they can be withdrawn
        self.refused: list[Any] = []
        self.streams = 0  # threads that can be let go
        self.held = False  # by streams, each of the threads
        self.asked: list[tuple[int, bool]] = []
        self.watch = QueueWatch(self, self, self.jobs, self, timeout)  # type: ignore[arg-type]

    # --- the loop

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[[], None]) -> Watched:
        self.delay, self.call = delay, call
        return self

    def cancel(self) -> None:
        self.delay = None

    def look(self, later: float | None = None) -> None:
        """Let the timer run, `later` seconds from now."""
        delay = self.delay
        assert delay is not None
        self.now += delay if later is None else later
        self.delay = None
        self.call()

    @property
    def soon(self) -> bool:
        """Whether the next look comes as soon as it may."""
        return self.delay is not None and self.delay <= TICK

    # --- the streams

    def make_room(self, wanted: int, *, late: bool) -> int:
        self.asked.append((wanted, late))
        gone = 0 if late else min(wanted, self.streams)
        self.streams -= gone
        self.threads += gone
        return gone

    def refusal(self) -> Overloaded | None:
        return Overloaded("streams hold all") if self.held else None

    def stop(self) -> None:
        pass

    # --- the pool

    def wake(self) -> bool:
        if not self.threads:
            return False
        time.sleep(self.slow)
        self.threads -= 1
        self.woken += 1
        return True

    def nobody_can_run(self) -> bool:
        return self.dead

    def running(self) -> list[Any]:
        return self.busy

    def withdraw(self, job: Any) -> bool:
        if job in self.taken or job not in self.jobs:
            return False
        self.jobs.remove(job)
        return True

    def refuse(self, job: Any, error: BridgeError) -> None:
        self.refused.append(job)


class Waiting:
    """A job, queued at some time, with a client."""

    def __init__(self, queued_at: float = 0.0, peer: Any = None) -> None:
        self.queued_at = queued_at
        self.peer = peer
        self.told = 0

    def on_long_wait(self) -> None:
        self.told += 1


def test_twice_as_many_at_each_look() -> None:
    """W52: while the first job stays the same, threads are woken, twice as many at each look."""
    pool = Watched([Waiting() for _ in range(10)])
    pool.threads = 7
    pool.watch.start()
    pool.watch.start()  # is under way
    woken = []
    for _ in range(4):
        assert pool.soon
        pool.look()
        woken.append(pool.woken)
    assert woken == [1, 3, 7, 7]
    assert pool.delay == 0.002  # none is left to be woken
    for _ in range(5):
        pool.look()
    assert pool.delay == 0.05
    pool.jobs.popleft()
    pool.threads = 1
    pool.look()
    assert (pool.woken, pool.delay) == (7, 0.001)  # the queue moves: start anew
    pool.look()
    assert pool.woken == 8


def test_a_look_wakes_no_more_than_so_many() -> None:
    """W52: many threads are started by several looks, and the loop does other work in between."""
    pool = Watched([Waiting() for _ in range(100)])
    pool.threads = pool.streams = 50
    pool.watch.start()
    woken = []
    for _ in range(10):
        before = pool.woken
        pool.look()
        woken.append(pool.woken - before)
    assert woken == [1, 2, 4, 8, 16, 16, 3, 16, 16, 16]  # the last ones in the place of streams


def test_a_look_that_takes_long() -> None:
    """W52: if it takes as long as looks are apart to start threads, the next comes at once."""
    pool = Watched([Waiting() for _ in range(10)])
    pool.threads, pool.slow = 2, 0.01
    pool.watch.start()
    for _ in range(2):
        pool.look()
        assert pool.delay == 0
    pool.look()  # none is left to be woken
    assert pool.delay == 0.002


def test_jobs_that_woken_threads_take() -> None:
    """W52: a queue that moves only by the threads just woken stands still: more are woken."""
    pool = Watched([Waiting() for _ in range(20)])
    pool.threads = 9
    pool.watch.start()
    woken = []
    for taken in (0, 1, 2, 3):  # all that were woken take one, then two of them, then most
        for _ in range(taken):
            pool.jobs.popleft()
        pool.look()
        woken.append(pool.woken)
    assert woken == [1, 3, 7, 9]
    pool.threads = 1
    for _ in range(3):  # one more than were woken
        pool.jobs.popleft()
    pool.look()
    assert (pool.woken, pool.delay) == (9, 0.001)
    pool.look()
    assert pool.woken == 10


def test_streams_that_come_one_after_another() -> None:
    """R1: a burst of streams leaves by one look for each time that the pool is full of them."""
    pool = Watched([Waiting() for _ in range(20)])
    pool.streams = 4
    pool.watch.start()
    for gone in (4, 8, 12):
        pool.look()
        assert (pool.woken, pool.soon) == (gone, True)
        for _ in range(4):
            pool.jobs.popleft()
        pool.streams = 4
    pool.streams = 0  # those that begin just now do not stream yet
    pool.look()
    assert (pool.woken, pool.delay) == (12, 0.002)


def test_streams_make_room() -> None:
    """R1: if no thread can be woken, as many streams leave as jobs wait, and threads start."""
    pool = Watched([Waiting() for _ in range(10)])
    pool.threads, pool.streams = 1, 4
    pool.watch.start()
    pool.look()
    assert (pool.woken, pool.asked) == (1, [])
    pool.look()
    assert (pool.woken, pool.asked, pool.soon) == (5, [(10, False)], True)
    pool.look()
    assert (pool.woken, pool.asked[1:], pool.delay) == (5, [(10, False)], 0.002)


def test_a_look_that_is_late() -> None:
    """R1: a loop that gets no turn in time, since threads compute, looks again before it helps."""
    pool = Watched([Waiting()])
    pool.streams = 1
    pool.watch.start()
    pool.look(0.006)
    assert (pool.woken, pool.asked, pool.delay) == (0, [(1, True)], 0.001)
    pool.look()
    assert (pool.woken, pool.asked) == (1, [(1, True), (1, False)])


def test_streams_hold_all() -> None:
    """R1: if streams hold every thread, and may not leave, all that wait are refused."""
    jobs = [Waiting() for _ in range(3)]
    pool = Watched([*jobs])
    pool.taken.add(jobs[1])
    pool.held = True
    pool.watch.start()
    pool.look()
    assert (pool.refused, pool.delay) == ([jobs[0], jobs[2]], None)
    pool.watch.start()  # another comes
    assert pool.delay == 0.001


def test_until_no_job_waits() -> None:
    """W52: there is no timer while no job waits, nor when the watch has stopped."""
    pool = Watched([])
    pool.watch.start()
    assert pool.delay is None
    pool.watch.stop()
    pool.jobs.append(Waiting())
    pool.watch.start()
    pool.jobs.clear()
    pool.look()
    assert pool.delay is None
    pool.jobs.append(Waiting())
    pool.watch.start()
    assert pool.delay is not None
    pool.watch.stop()
    assert pool.delay is None


def test_without_any_thread() -> None:
    """W52: nobody looks on if there is no thread and none can be started: all were refused."""
    pool = Watched([Waiting()])
    pool.watch.start()
    pool.dead = True
    pool.look()
    assert pool.delay is None


def test_the_oldest_are_refused() -> None:
    """W52: with `queue_timeout` older jobs are refused, but for one that a thread just took."""
    old, taken, new = Waiting(0.0), Waiting(0.0), Waiting(5.0)
    pool = Watched([old, taken, new], timeout=2.0)
    pool.taken.add(taken)
    pool.watch.start()
    pool.look(3.0)
    assert pool.refused == [old]
    pool.look(3.0)
    assert pool.refused == [old]
    pool.taken.clear()
    pool.look(3.0)
    assert pool.refused == [old, taken, new]
    assert pool.delay is None


def test_told_that_they_wait_for_long() -> None:
    """W52: each job that has waited for long is told, now and again; others are not."""
    old, new = Waiting(0.0), Waiting(9.9)
    pool = Watched([old, new])
    pool.watch.start()
    pool.look(10.0)
    assert (old.told, new.told) == (1, 0)
    pool.look(0.1)
    assert (old.told, new.told) == (1, 0)
    pool.look(0.3)
    assert (old.told, new.told) == (2, 1)
    pool.look(0.3)
    assert (old.told, new.told) == (3, 2)


OWN = ("127.0.0.1", 1)


@pytest.mark.parametrize(
    ("queued", "busy", "refused"),
    [
        ("o", "oo", "o"),
        ("oo", "o.", "oo"),
        ("o", "..", ""),
        ("", "oo", ""),
        ("..", "oo", ""),
        ("...", "..", ""),
        (".ooo", "..", "oo"),
    ],
)
def test_self_requests(
    queued: str, busy: str, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W53: own requests (o) are refused while there are as many as threads, the newest first."""

    def jobs(kinds: str) -> list[Any]:
        return [Waiting(peer=OWN if kind == "o" else None) for kind in kinds]

    waiting = jobs(queued) or [Waiting(peer=("192.0.2.1", 1))]
    monkeypatch.setattr(
        "bridge.runners.threads.queue_watch.self_connections", lambda peers: {OWN} & set(peers)
    )
    pool = Watched(waiting)
    pool.busy = jobs(busy)
    pool.watch.start()
    pool.look(1.0)
    assert len(pool.refused) == len(refused)
    assert pool.refused == [job for job in reversed(waiting) if job.peer == OWN][: len(refused)]
    if refused:  # those that are left come first
        left = [job for job in waiting if job.peer == OWN and job not in pool.refused]
        assert [*pool.jobs][: len(left)] == left


def test_self_requests_that_threads_take_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """W53: a request that a thread takes during the search is neither refused nor moved."""
    monkeypatch.setattr("bridge.runners.threads.queue_watch.self_connections", lambda peers: {OWN})
    other, first, second = Waiting(), Waiting(peer=OWN), Waiting(peer=OWN)
    pool = Watched([other, first, second])
    pool.busy = [Waiting(), Waiting()]
    pool.taken = {first, second}
    pool.watch.start()
    pool.look(1.0)
    assert (pool.refused, list(pool.jobs)) == ([], [other, first, second])


def test_a_search_takes_little_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """W53: after a search that took long the next one waits 99 times as long."""
    searches: list[Any] = []
    clock = iter([0.0, 1.0, 1.0, 1.0])
    monkeypatch.setattr("bridge.runners.threads.queue_watch.self_connections", searches.append)
    monkeypatch.setattr("bridge.runners.threads.queue_watch.time.perf_counter", lambda: next(clock))
    pool = Watched([Waiting()])
    pool.watch.start()
    counts = []
    for later in (1.0, 50.0, 49.0, 2.0):
        pool.look(later)
        counts.append(len(searches))
    assert counts == [1, 1, 1, 2]
