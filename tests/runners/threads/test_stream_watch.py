"""Streams leave the pool: when, how many, and what becomes of those that wait."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, TypeAlias

import pytest

from bridge.errors import Overloaded, SelfRequest
from bridge.runners import Runner
from bridge.runners.base import occupied_runners
from bridge.runners.threads.pool import ThreadPool, Worker
from bridge.runners.threads.runner import ThreadRunner
from bridge.runners.threads.stream_watch import StreamWatch
from tests.runners.jobs import Call, blocked, run_with, streaming, until

pytestmark = pytest.mark.usefixtures("pool_threads")

Threads: TypeAlias = Callable[[], list[threading.Thread]]


def test_leaves_when_others_wait(pool_threads: Threads) -> None:
    """R1: streams leave as soon as a job waits for a thread, however many began at once."""

    async def main(runner: Runner) -> None:
        gate = threading.Event()
        streams = streaming(runner, 20, gate)
        call = Call(lambda: "answered")
        runner.submit(call)
        assert await call.done == "answered"
        assert runner.stats().streams >= 18
        await until(lambda: runner.stats().busy + runner.stats().streams == 20)
        gate.set()
        for stream in streams:
            await stream.done
        await until(lambda: (runner.stats().busy, runner.stats().streams) == (0, 0))
        await until(lambda: len(pool_threads()) <= 2)
        assert (runner.stats().served, runner.stats().rejected) == (21, 0)

    run_with(ThreadRunner(2, stream_after=60, idle_timeout=60), main)


def test_leaves_after_a_while() -> None:
    """R1: a stream leaves after `stream_after` seconds, also if nobody waits; then it is told."""

    async def main(runner: Runner) -> None:
        for _ in range(2):  # when the first has come back the second is seen as well
            gate = threading.Event()
            begin = asyncio.get_running_loop().time()
            (stream,) = streaming(runner, 1, gate)
            await until(lambda: runner.stats().streams == 1)
            assert asyncio.get_running_loop().time() - begin >= 0.1
            assert runner.stats().busy == 0
            gate.set()
            await stream.done
            await until(lambda: runner.stats()[:2] == (0, 1))

    run_with(ThreadRunner(1, stream_after=0.1, idle_timeout=60), main)


def test_only_streams_leave() -> None:
    """R1: what has not begun to answer keeps its place, and others wait for it."""

    async def main(runner: Runner) -> None:
        gate, more = threading.Event(), threading.Event()
        (stuck,) = blocked(runner, 1, gate)
        (stream,) = streaming(runner, 1, more)
        call = Call(lambda: "answered")
        runner.submit(call)
        assert await call.done == "answered"
        (other,) = blocked(runner, 1, gate)
        last = Call(lambda: "answered")
        runner.submit(last)
        await until(lambda: last.waited)
        assert runner.stats()[:3] == (2, 0, 1)
        gate.set()
        more.set()
        for each in (stuck, stream, other, last):
            await each.done

    run_with(ThreadRunner(2), main)


def test_no_more_than_the_limit() -> None:
    """R1: beyond `stream_limit` streams hold their threads; if they hold all, the rest get 503."""

    async def main(runner: Runner) -> None:
        gate = threading.Event()
        streams = streaming(runner, 10, gate)
        late = [stream.done for stream in streams[5:]]
        for refused in late:
            with pytest.raises(Overloaded, match=r"each of the 2 threads.*3 more.*stream_limit"):
                await refused
        call = Call(int)
        runner.submit(call)
        with pytest.raises(Overloaded, match="stream_limit"):
            await call.done
        assert (*runner.stats()[:3], *runner.stats()[4:7]) == (2, 0, 0, 0, 6, 3)
        gate.set()
        for stream in streams[:5]:
            await stream.done
        again = Call(lambda: "answered")
        runner.submit(again)
        assert await again.done == "answered"

    run_with(ThreadRunner(2, stream_after=0.05, stream_limit=3), main)


def test_a_place_that_comes_free() -> None:
    """R1: with as many streams as may be, a thread that is left to the pool serves the rest."""

    async def main(runner: Runner) -> None:
        gate = threading.Event()
        streams = streaming(runner, 3, gate)
        await until(lambda: runner.stats().streams == 2)
        for _ in range(50):
            call = Call(lambda: "answered")
            runner.submit(call)
            assert await call.done == "answered"
        gate.set()
        for stream in streams:
            await stream.done

    run_with(ThreadRunner(2, stream_after=0.01, stream_limit=2), main)


def test_none_may_leave() -> None:
    """R1: with `stream_limit` 0 streams stay in the pool, and what waits keeps its place."""

    async def main(runner: Runner) -> None:
        gate = threading.Event()
        (stream,) = streaming(runner, 1, gate)
        call = Call(lambda: "answered")
        runner.submit(call)
        await until(lambda: call.waited)
        assert runner.stats()[:3] == (1, 0, 1)
        assert (runner.stats().streams, runner.stats().rejected) == (0, 0)
        gate.set()
        await stream.done
        assert await call.done == "answered"

    run_with(ThreadRunner(1, stream_after=0, stream_limit=0), main)


def test_a_stream_that_waits_for_its_own_app() -> None:
    """R1, W53: a request of the app to itself is answered if a stream can leave for it."""

    async def main(runner: ThreadRunner) -> None:
        gate = threading.Event()
        (stream,) = streaming(runner, 1, gate)
        await until(lambda: runner.stats().queued == 0)
        context = copy_context()
        context.run(occupied_runners.set, (runner,))
        own = Call(lambda: "own")
        context.run(runner.submit, own)
        assert await own.done == "own"
        (stuck,) = blocked(runner, 1, gate)
        await until(lambda: runner.stats().queued == 0)
        with pytest.raises(SelfRequest):
            context.run(runner.submit, Call(int))
        gate.set()
        await stream.done
        await stuck.done

    run_with(ThreadRunner(1), main)  # type: ignore[arg-type]


def test_stop_waits_for_streams() -> None:
    """R1, W54: `stop` waits for what streams beside the pool, and interrupts what waits there."""

    async def never() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        runner = ThreadRunner(1, stream_after=0.01)
        runner.start(asyncio.get_running_loop())
        stream = Call(lambda: runner.wait(never()))
        stream.streams = True
        runner.submit(stream)
        await until(lambda: runner.stats().streams == 1)
        assert not await runner.stop(0.05)
        with pytest.raises(BaseException, match=r"^$"):  # CancelledError of concurrent.futures
            await stream.done
        runner.start(asyncio.get_running_loop())
        gate = threading.Event()
        (stream,) = streaming(runner, 1, gate)
        await until(lambda: runner.stats().streams == 1)
        asyncio.get_running_loop().call_later(0.05, gate.set)
        assert await runner.stop(10)
        assert stream.done.done()

    asyncio.run(main())


def test_ends_in_the_moment_in_which_it_leaves() -> None:
    """R1: streams that end while they leave are counted once, and no thread is lost."""

    async def main(runner: ThreadRunner) -> None:
        for _ in range(300):
            gate = threading.Event()
            streams = streaming(runner, 3, gate)
            call = Call(lambda: "answered")
            runner.submit(call)
            gate.set()
            assert await call.done == "answered"
            for stream in streams:
                await stream.done
        await until(lambda: (runner.stats().busy, runner.stats().streams) == (0, 0))
        assert runner.stats().served == 1200
        assert runner._pool.size() <= 2

    run_with(ThreadRunner(2, stream_after=0, idle_timeout=60), main)  # type: ignore[arg-type]


def test_late() -> None:
    """R1: while threads compute, only those leave that were seen to stream before."""

    async def main() -> None:
        loop = asyncio.get_running_loop()

        class Owner:
            def __getattr__(self, name: str) -> Any:
                return lambda *_: None

        pool = ThreadPool(Owner(), 2, deque(), 60)
        pool.open(loop, copy_context())
        watch = StreamWatch(pool, loop, 1.0, 8)
        workers = [Worker(), Worker()]
        for worker in workers:
            worker.job = job = Call(int)
            job.streams = True
            pool.workers.add(worker)
        assert watch.make_room(0, late=False) == 0  # both are seen
        again = Call(int)
        again.streams = True
        workers[1].job = again  # the second streams something else
        assert watch.make_room(2, late=True) == 1
        assert pool.beside == {workers[0]}
        assert watch.make_room(2, late=True) == 1
        assert pool.beside == {*workers}
        watch.stop()
        watch.stop()

    asyncio.run(main())


def test_looks_while_threads_are_awake() -> None:
    """R1: the timer runs while a thread is awake or beside the pool, and no longer."""

    async def main(runner: ThreadRunner) -> None:
        gate = threading.Event()
        (stream,) = streaming(runner, 1, gate)
        await until(lambda: runner._streams.watching)
        await until(lambda: runner.stats().streams == 1)
        assert runner._streams.watching
        gate.set()
        await stream.done
        await until(lambda: not runner._streams.watching)

    run_with(ThreadRunner(1, stream_after=0.01), main)  # type: ignore[arg-type]
