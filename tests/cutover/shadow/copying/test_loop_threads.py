"""Threads in which async apps have blocking code run for copies."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from typing import Any

import anyio.to_thread
import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async

from bridge import Cutover
from bridge.cutover.shadow.copying.loop_threads import (
    IN_COPY,
    CopyThreads,
    OfCopy,
    divert,
    is_in_thread,
    most_at_once,
)
from bridge.loops.waiters import NativeThread
from bridge.types import Receive, Scope, Send
from tests.support.in_process import http_scope
from tests.support.shadows import answering, asked, copies_of, counted, shadowed, until
from tests.support.waiting import eventually


def test_jobs_run_in_as_many_threads_as_there_may_be() -> None:
    """M10: the others wait, and can be cancelled."""
    threads, free = CopyThreads(2), threading.Event()
    running: list[int] = []

    def job(number: int) -> int:
        running.append(threading.get_ident())
        free.wait(20)
        return number

    jobs = [threads.submit(job, each) for each in range(4)]
    eventually(lambda: len(running) == 2)
    assert jobs[3].cancel()
    free.set()
    assert [each.result(20) for each in jobs[:3]] == [0, 1, 2]
    assert len({*running}) == 2
    assert all(each.daemon for each in threading.enumerate() if each.ident in running)
    assert threads.submit(job, 5).result(20) == 5
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 // 0).result(20)


def test_threads_that_have_nothing_to_do_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """M10: after a while, or at once when they are closed; a job that comes later has another."""
    for closed in (True, False):
        if not closed:
            monkeypatch.setattr("bridge.cutover.shadow.copying.loop_threads._IDLE", 0.01)
        threads = CopyThreads(1)
        used = threads.submit(threading.current_thread).result(20)
        if closed:
            threads.close()
        eventually(lambda used=used: not used.is_alive())
        assert threads.submit(int).result(20) == 0
        threads.close()


def test_the_system_may_have_no_thread_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """M10: that is the job's error, and the next one has a thread."""
    threads = CopyThreads(1)

    def refuse(self: NativeThread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(NativeThread, "start", refuse)
        with pytest.raises(RuntimeError):
            threads.submit(int)
    assert threads.submit(int).result(20) == 0
    threads.close()


def in_copy(threads: CopyThreads, work: Callable[[], Any]) -> tuple[OfCopy, Any]:
    """Run `work` as a copy's."""
    copy, context = OfCopy(threads), copy_context()
    context.run(IN_COPY.set, copy)
    return copy, context.run(work)


def test_jobs_of_copies_are_diverted() -> None:
    """M10: from the loop's threads, and from those of asgiref; the app's own ones are counted."""

    async def main() -> None:
        loop, threads, free = asyncio.get_running_loop(), CopyThreads(2), threading.Event()
        name = threading.current_thread
        plain = loop.run_in_executor
        divert(loop)
        divert(loop)
        assert vars(loop.run_in_executor)["_run"] == plain
        with ThreadPoolExecutor(1, "own") as own, ThreadPoolExecutor(1, "usual") as usual:
            loop.set_default_executor(usual)
            assert (await asyncio.to_thread(name)).name.startswith("usual")
            tasks = [
                in_copy(threads, lambda: loop.create_task(each))[1]  # noqa: B023
                for each in (asyncio.to_thread(name), sync_to_async(name)())
            ]
            for task in tasks:
                assert (await task).name == "bridge-shadow-copy"
            assert (await sync_to_async(name)()).name.startswith("ThreadPoolExecutor")
            copy, future = in_copy(threads, lambda: loop.run_in_executor(own, free.wait, 20))
            _, behind = in_copy(threads, lambda: loop.run_in_executor(own, int))
            other, waiting = in_copy(threads, lambda: loop.run_in_executor(own, int))
            assert (copy.is_open, other.is_open) == (True, True)
            waiting.cancel()
            await until(lambda: not other.is_open)
            free.set()
            assert [await future, await behind] == [True, 0]
            await until(lambda: not copy.is_open)

    asyncio.run(main())


def test_a_copy_has_one_thread_for_what_is_thread_sensitive() -> None:
    """M10: as a request has, whatever asgiref would take for it; it ends with the copy."""

    async def thread() -> threading.Thread:
        return await sync_to_async(threading.current_thread)()

    async def twice() -> list[threading.Thread]:
        async with ThreadSensitiveContext():
            inside = await thread()
        return [inside, await thread()]

    async def main() -> None:
        loop, threads = asyncio.get_running_loop(), CopyThreads(2)
        divert(loop)
        copies = [in_copy(threads, lambda: loop.create_task(twice())) for _ in range(2)]
        used = [await task for _, task in copies]
        assert [len({*each}) for each in used] == [1, 1]
        assert used[0][0] is not used[1][0]
        for copy, _ in copies:
            copy.close()
        await until(lambda: not any(each[0].is_alive() for each in used))

    asyncio.run(main())


def test_copies_take_half_of_the_threads_of_anyio() -> None:
    """M10: no more, however many there may be."""

    async def main() -> None:
        limiter = anyio.to_thread.current_default_thread_limiter()
        assert [most_at_once(n, limiter) for n in (4, 20, 21, 100)] == [4, 20, 20, 20]
        limiter.total_tokens = float("inf")
        assert most_at_once(100, limiter) == 100

    asyncio.run(main())
    assert most_at_once(100, None) == 100


def test_who_is_in_a_thread_of_anyio_is_known() -> None:
    """M10: the call of a copy, or a task that it has started; not one of a client's."""

    async def main() -> None:
        limiter = anyio.to_thread.current_default_thread_limiter()
        loop, free = asyncio.get_running_loop(), threading.Event()

        def begin() -> asyncio.Task[Any]:
            return loop.create_task(anyio.to_thread.run_sync(free.wait, 20))

        client = begin()
        copy, task = in_copy(CopyThreads(1), begin)
        await until(lambda: limiter.borrowed_tokens == 2)
        assert is_in_thread(task, copy, limiter)
        other: Any = asyncio.current_task()
        assert is_in_thread(other, copy, limiter) == hasattr(asyncio.Task, "get_context")
        assert not is_in_thread(other, OfCopy(CopyThreads(1)), limiter)
        assert not is_in_thread(task, copy, None)
        free.set()
        await client
        await task
        assert not is_in_thread(task, copy, limiter)

    asyncio.run(main())


# ------------------------------------------------------------- apps that hang


@asynccontextmanager
async def hanging(work: Callable[[Any], Any], **shadow: Any) -> AsyncIterator[Cutover]:
    """A new app that hangs for as long as the block lasts."""
    free = threading.Event()

    async def new(scope: Scope, receive: Receive, send: Send) -> None:
        await work(free.wait)
        await answering()(scope, receive, send)

    app = shadowed(answering(), new, **{"concurrency": 2, "timeout": 0.05, **shadow})
    try:
        yield app
    finally:
        free.set()
        await copies_of(app).stop()


async def in_anyio(wait: Any) -> None:
    await anyio.to_thread.run_sync(wait, 20)


async def in_request_of_django(wait: Any) -> None:
    async with ThreadSensitiveContext():  # which joins its thread when it is left
        await sync_to_async(wait)(20)


WORK: dict[str, Callable[[Any], Any]] = {
    "loop": lambda wait: asyncio.to_thread(wait, 20),
    "anyio": in_anyio,
    "asgiref": lambda wait: sync_to_async(wait)(20),
    "django": in_request_of_django,
}


@pytest.mark.parametrize("kind", WORK)
def test_no_more_copies_begin_than_hang(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """M10: others are dropped, which is told once; clients have their threads, and go on."""
    before = threading.active_count()

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        async with hanging(WORK[kind]) as app:
            copies = copies_of(app)

            async def dropped() -> int:
                await asked(app, http_scope("/a/1"))
                return copies.reasons().get("a", {}).get("hanging", 0)

            async with asyncio.timeout(60):
                while not await dropped():
                    await asyncio.sleep(0.01)
            assert counted(app)["failed"] == 2
            assert threading.active_count() <= before + 4
            assert await asyncio.to_thread(int) == 0
            assert await sync_to_async(int)() == 0
            assert await anyio.to_thread.run_sync(int) == 0
        copies.start()
        await until(lambda: copies._maker._held() == 0)
        async with asyncio.timeout(60):  # one may be late, and fail
            while not counted(app).get("equal"):
                await asked(app, http_scope("/a/1"))
                await asyncio.sleep(0.05)
        await copies.stop()

    asyncio.run(main())
    assert caplog.text.count("there are no others until") == 1


def test_what_is_left_behind_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    """M10: an app that does not end when it is cancelled is known to the server."""

    async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
        never = asyncio.Event()
        while True:
            try:
                await never.wait()
            except asyncio.CancelledError:
                continue

    async def main() -> None:
        app = shadowed(answering(), stubborn, timeout=1)
        await asked(app, http_scope("/a/1"))
        await until(lambda: counted(app) == {"failed": 1})
        await copies_of(app).stop()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    gc.collect()
    assert "destroyed" not in caplog.text
