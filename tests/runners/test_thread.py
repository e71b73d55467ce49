"""The pool: who is woken, when threads start and end, what is refused."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Collection, Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

import bridge
from bridge.errors import Overloaded, SelfRequest
from bridge.runners import Runner
from bridge.runners.self_requests import self_connections
from bridge.runners.thread import ThreadRunner
from tests.runners.jobs import Call, run_with, until

before: set[threading.Thread] = set()


def pool_threads() -> list[threading.Thread]:
    """Those that this test has started."""
    return [thread for thread in threading.enumerate() if thread not in before]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before.clear()
    before.update(threading.enumerate())
    yield
    for thread in pool_threads():
        thread.join(10)
    assert pool_threads() == []


def blocked(runner: Runner, count: int, gate: threading.Event) -> list[Call]:
    """Have `count` jobs block their threads until `gate` is set."""
    calls = [Call(gate.wait) for _ in range(count)]
    for call in calls:
        runner.submit(call)
    return calls


def test_no_more_threads_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """W52: jobs that never block are all run by one thread, however many may be started."""
    # On a busy machine a thread may be given no time for longer than the pool's patience.
    monkeypatch.setattr("bridge.runners.queue_watch.TICK", 60)

    async def main(runner: Runner) -> None:
        for _ in range(100):
            call = Call(int)
            runner.submit(call)
            await call.done
            await until(lambda: runner.stats().busy == 0)
        assert len(pool_threads()) == 1

    # The bound on `idle_timeout` is another test's.
    run_with(ThreadRunner(8, idle_timeout=60), main)


def test_grows_to_its_bound() -> None:
    """W52: jobs behind blocked threads start more of these, up to `threads` and no further."""

    async def main(runner: Runner) -> None:
        gate = threading.Event()
        calls = blocked(runner, 5, gate)
        await until(lambda: runner.stats().busy == 3 and runner.stats().queued == 2)
        await asyncio.sleep(0.02)  # many looks at the queue later it is still so
        assert (runner.stats().busy, runner.stats().queued) == (3, 2)
        assert runner.stats().oldest_wait > 0
        assert len(pool_threads()) == 3
        gate.set()
        for call in calls:
            assert await call.done
        await until(lambda: runner.stats().idle == 3)

    run_with(ThreadRunner(3), main)


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


def test_threads_retire() -> None:
    """W52: threads without work end after `idle_timeout` seconds, and start again when needed."""

    async def main(runner: Runner) -> None:
        for _ in range(2):
            gate = threading.Event()
            calls = blocked(runner, 4, gate)
            await until(lambda: runner.stats().busy == 4)
            gate.set()
            for call in calls:
                await call.done
            await until(lambda: runner.stats()[:2] == (0, 0))
            assert runner.stats().queued == 0
        assert runner.stats().served == 8

    run_with(ThreadRunner(4, idle_timeout=0.02), main)


def test_queue_limit() -> None:
    """W52: beyond `queue_limit` jobs are refused, and counted; below it none is."""

    async def main(runner: Runner) -> None:
        gate = threading.Event()
        calls = blocked(runner, 2, gate)
        await until(lambda: runner.stats()[:3] == (2, 0, 0))
        calls += blocked(runner, 3, gate)
        for _ in range(2):
            with pytest.raises(Overloaded, match="3 requests waiting"):
                runner.submit(Call(int))
        assert runner.stats().rejected == 2
        gate.set()
        for call in calls:
            assert await call.done

    run_with(ThreadRunner(2, queue_limit=3), main)


@pytest.mark.parametrize("how", ["await_", "async_to_sync", "anyio"])
def test_request_to_itself(how: str) -> None:
    """W53: a job that waits for one more job of its full pool gets an error, at once."""
    import anyio.from_thread
    from asgiref.sync import async_to_sync

    async def nested(runner: Runner) -> str:
        call = Call(int)
        runner.submit(call)
        return str(await call.done)

    def job(runner: Runner) -> str:
        if how == "await_":
            return bridge.await_(nested(runner))
        if how == "anyio":
            return anyio.from_thread.run(nested, runner)
        return async_to_sync(nested)(runner)

    async def main(runner: Runner) -> None:
        call = Call(lambda: job(runner))
        runner.submit(call)
        with pytest.raises(SelfRequest, match="request to itself"):
            await call.done
        assert runner.stats().rejected == 1

    run_with(ThreadRunner(1), main)


def test_request_to_itself_that_can_be_answered() -> None:
    """W53: where another thread can answer it, a nested request is no error."""

    async def nested(runner: Runner) -> int:
        call = Call(lambda: 7)
        runner.submit(call)
        result: int = await call.done
        return result

    async def main(runner: Runner) -> None:
        call = Call(lambda: bridge.await_(nested(runner)))
        runner.submit(call)
        assert await call.done == 7

    run_with(ThreadRunner(2), main)


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


def test_withdrawn() -> None:
    """W52: a job that is taken back gives its place to another; one that runs cannot be."""

    async def main(runner: Runner) -> None:
        gate = threading.Event()
        (stuck,) = blocked(runner, 1, gate)
        await until(lambda: runner.stats().queued == 0)
        first, second, third = (Call(lambda n=n: n) for n in range(3))
        runner.submit(first)
        runner.submit(second)
        with pytest.raises(Overloaded):
            runner.submit(third)
        assert runner.withdraw(first)
        assert not runner.withdraw(first)
        assert not runner.withdraw(stuck)
        runner.submit(third)
        gate.set()
        assert [await second.done, await third.done] == [1, 2]
        assert not first.done.done()
        await stuck.done

    run_with(ThreadRunner(1, queue_limit=2), main)


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_no_thread_can_be_started(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """W52: while no thread can be started requests are refused; after that the pool serves."""
    start = threading.Thread.start

    def fail(thread: threading.Thread) -> None:
        raise error

    async def main(runner: Runner) -> None:
        monkeypatch.setattr(threading.Thread, "start", fail)
        for _ in range(5):
            call = Call(int)
            runner.submit(call)
            with pytest.raises(Overloaded, match="no thread"):
                await call.done
        assert runner.stats()[:3] == (0, 0, 0)
        assert runner.stats().rejected == 5
        monkeypatch.setattr(threading.Thread, "start", start)
        calls = [Call(lambda: "ran") for _ in range(10)]
        for call in calls:
            runner.submit(call)
        assert [await call.done for call in calls] == ["ran"] * 10
        told = [record.getMessage() for record in caplog.records]
        assert sum("no thread can be started" in line for line in told) == 1
        assert "threads can be started again" in told

    run_with(ThreadRunner(2), main)


def test_no_more_threads_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """W52: where there are fewer threads than `threads` allows, jobs wait for those there are."""

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main(runner: Runner) -> None:
        gate = threading.Event()
        (stuck,) = blocked(runner, 1, gate)
        await until(lambda: runner.stats().queued == 0)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            behind = Call(lambda: "ran")
            runner.submit(behind)
            await asyncio.sleep(0.02)
            assert runner.stats()[:3] == (1, 0, 1)
            gate.set()
            assert await behind.done == "ran"
        await stuck.done
        assert runner.stats().rejected == 0

    run_with(ThreadRunner(4), main)


def test_while_a_module_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """W52: a job that begins while another thread imports asgiref or anyio runs all the same."""
    for name in ("asgiref.sync", "anyio"):
        half = ModuleType(name)
        half.__spec__ = ModuleSpec(name, None)
        half.__spec__._initializing = True  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, half)

    async def main(runner: Runner) -> None:
        call = Call(lambda: "ran")
        runner.submit(call)
        assert await call.done == "ran"

    run_with(ThreadRunner(1), main)


def test_a_module_of_an_unknown_kind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """W51, W52: if the loop cannot be published to a library, that is logged, and the app runs."""
    strange = ModuleType("asgiref.sync")
    strange.__spec__ = ModuleSpec("asgiref.sync", None)
    monkeypatch.setitem(sys.modules, "asgiref.sync", strange)
    monkeypatch.setattr("bridge.runners.interop._unsupported", set())

    async def main(runner: Runner) -> None:
        for _ in range(3):
            call = Call(lambda: "ran")
            runner.submit(call)
            assert await call.done == "ran"
        assert sum("asgiref.sync" in record.getMessage() for record in caplog.records) == 1

    run_with(ThreadRunner(1), main)


def test_a_job_that_cannot_be_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """W52: whatever goes wrong before a job begins, it is refused, and its thread is free."""

    async def main(runner: Runner) -> None:
        for _ in range(3):
            with monkeypatch.context() as patch:
                patch.setattr("bridge.runners.pool.copy_context", _no_memory)
                call = Call(int)
                runner.submit(call)
                with pytest.raises(Overloaded, match="MemoryError"):
                    await call.done
        call = Call(lambda: "ran")
        runner.submit(call)
        assert await call.done == "ran"
        await until(lambda: runner.stats()[:3] == (0, 1, 0))
        assert runner.stats().rejected == 3

    run_with(ThreadRunner(1, idle_timeout=60), main)


def _no_memory() -> None:
    raise MemoryError


def test_a_thread_that_ends_by_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """W52: a thread that an error ends is counted out, and another one takes what waits."""

    async def main(runner: ThreadRunner) -> None:
        take_jobs = runner._pool._take_jobs
        for _ in range(3):
            monkeypatch.setattr(runner._pool, "_take_jobs", lambda worker: _no_memory())
            call = Call(lambda: "ran")
            runner.submit(call)
            await until(lambda: runner.stats().queued == 1 and bool(runner._pool.workers))
            monkeypatch.setattr(runner._pool, "_take_jobs", take_jobs)
            assert await call.done == "ran"

    run_with(ThreadRunner(1, idle_timeout=0.01), main)  # type: ignore[arg-type]


def test_pools_of_their_own() -> None:
    """W52: one pool that is full does not hold up another."""

    async def main(runner: Runner) -> None:
        other = ThreadRunner(1)
        other.start(asyncio.get_running_loop())
        gate = threading.Event()
        calls = blocked(runner, 2, gate)
        call = Call(lambda: "fine")
        other.submit(call)
        assert await call.done == "fine"
        gate.set()
        for stuck in calls:
            await stuck.done
        assert await other.stop(10)

    run_with(ThreadRunner(1), main)


def test_stop() -> None:
    """W54: stopping refuses what is queued, waits for what runs, and takes no more."""

    async def main() -> None:
        runner = ThreadRunner(1)
        with pytest.raises(Overloaded):
            runner.submit(Call(int))  # not started yet
        runner.start(asyncio.get_running_loop())
        gate = threading.Event()
        (running,) = blocked(runner, 1, gate)
        await until(lambda: runner.stats()[:3] == (1, 0, 0))
        queued = Call(int)
        runner.submit(queued)
        assert not await runner.stop(0.01)
        with pytest.raises(Overloaded, match="stopping"):
            await queued.done
        gate.set()
        assert await running.done
        assert await runner.stop(10)
        with pytest.raises(Overloaded):
            runner.submit(Call(int))
        assert await runner.stop(10)

    asyncio.run(main())


def test_start_again_on_the_loop_that_stopped_it() -> None:
    """W54: a pool that one loop stopped for another starts there, and takes what waits."""
    runner = ThreadRunner(2, idle_timeout=60)

    async def begin() -> None:
        runner.start(asyncio.get_running_loop())
        call = Call(int)
        runner.submit(call)
        await call.done

    async def go_on() -> None:
        assert await runner.stop(10)
        runner.start(asyncio.get_running_loop())
        gate = threading.Event()
        calls = blocked(runner, 2, gate)
        behind = Call(lambda: "ran")
        runner.submit(behind)
        await until(lambda: runner.stats()[:3] == (2, 0, 1))
        gate.set()
        assert await behind.done == "ran"
        for call in calls:
            await call.done
        assert await runner.stop(10)

    asyncio.run(begin())
    asyncio.run(go_on())


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


def test_stop_before_start() -> None:
    """W54: a pool that never ran stops as well."""
    assert asyncio.run(ThreadRunner().stop(1))


def test_loop_that_closes_without_a_word() -> None:
    """W54: where nobody stops the pool its threads end by themselves."""

    async def main() -> None:
        runner.start(asyncio.get_running_loop())
        call = Call(int)
        runner.submit(call)
        await call.done

    runner = ThreadRunner(idle_timeout=0.02)
    asyncio.run(main())
    for thread in pool_threads():
        thread.join(10)
    assert runner.stats() == (0, 0, 0, 0.0, 1, 0)


def test_jobs_are_freed() -> None:
    """W52: a thread that sleeps does not keep its last job alive."""

    async def main(runner: Runner) -> None:
        call = Call(int)
        seen = weakref.ref(call)
        runner.submit(call)
        await call.done
        del call
        await until(lambda: gc.collect() >= 0 and seen() is None)

    run_with(ThreadRunner(idle_timeout=60), main)


@pytest.mark.skipif(sys.platform == "win32", reason="fork is of Unix")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_after_fork() -> None:
    """W52: threads do not come along when a process forks: the child's pool starts anew."""
    runner = ThreadRunner(2, idle_timeout=60)

    async def main(runner: Runner) -> None:
        call = Call(lambda: "ran")
        runner.submit(call)
        assert await call.done == "ran"

    async def parent(runner: Runner) -> None:
        await main(runner)
        child = os.fork()
        if child == 0:
            os._exit(in_child(runner))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7

    def in_child(runner: Runner) -> int:
        loop = asyncio.new_event_loop()
        asyncio._set_running_loop(None)  # the parent's does not run here

        async def run() -> int:
            runner.start(loop)
            await main(runner)
            return 7

        try:
            return loop.run_until_complete(asyncio.wait_for(run(), 10))
        except BaseException:
            return 1

    run_with(runner, parent)


def test_nothing_is_lost_in_a_storm() -> None:
    """W52: of many jobs that come in bursts, some of which block, each runs exactly once."""
    runs: list[int] = []
    interval = sys.getswitchinterval()

    def job(number: int, gate: threading.Event) -> int:
        if number % 17 == 0:
            gate.wait(0.002)
        runs.append(number)
        return number

    async def main(runner: Runner) -> None:
        gate = threading.Event()
        for burst in range(40):
            calls = [Call(lambda n=burst * 100 + n: job(n, gate)) for n in range(100)]
            for call in calls:
                runner.submit(call)
            assert await asyncio.gather(*(call.done for call in calls)) == [
                burst * 100 + n for n in range(100)
            ]
            await until(lambda: runner.stats()[:3:2] == (0, 0))
        assert sorted(runs) == list(range(4000))

    sys.setswitchinterval(1e-6)
    try:
        run_with(ThreadRunner(8), main)
    finally:
        sys.setswitchinterval(interval)
