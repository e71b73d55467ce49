"""`threading.current_thread` in greenlets, and joining threads."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from threading import current_thread as imported_before
from typing import Any

import pytest

from tests.runners.jobs import until
from tests.runners.patching.threads.jobs import Begin, paused, run_jobs


def test_one_for_each_greenlet() -> None:
    """G6: each greenlet has an object of its own that stands for it, and `threading` none more."""
    before, main_thread = threading.enumerate(), threading.main_thread()

    async def main(begin: Begin) -> None:
        def job() -> tuple[Any, ...]:
            me = threading.current_thread()
            time.sleep(0.001)
            assert threading.current_thread() is me is imported_before()
            record = logging.getLogger("x").makeRecord("x", 20, "", 1, "", (), None)
            return me, me.ident, threading.get_ident(), record.threadName, record.thread

        calls = [begin(job) for _ in range(10)]
        seen = [await call.done for call in calls]
        for me, ident, number, name, logged in seen:
            assert ident == number == logged
            assert name == me.name
            assert name.startswith("bridge-greenlet-")
            assert me.daemon
            assert me.is_alive()
            assert isinstance(me, threading.Thread)
            assert me.native_id == threading.get_native_id()
            assert "started daemon" in repr(me)
            with pytest.raises(RuntimeError, match="cannot join bridge-greenlet-"):
                me.join()
            with pytest.raises(RuntimeError, match="once"):
                me.start()
        assert len({id(me) for me, *_ in seen}) == 10
        assert threading.enumerate() == before
        assert threading.current_thread() is main_thread is threading.main_thread()
        ended.extend(weakref.ref(me) for me, *_ in seen)
        alive.extend(me for me, *_ in seen)

    ended: list[Any] = []
    alive: list[Any] = []
    run_jobs(main)
    gc.collect()
    assert not any(me.is_alive() for me in alive)
    alive.clear()
    gc.collect()
    assert [each() for each in ended] == [None] * 10
    assert threading.enumerate() == before


def test_asyncio_in_a_greenlet() -> None:
    """G5: `asyncio.run` works in a greenlet of the main thread, and takes no signals from it."""

    async def coroutine() -> str:
        await asyncio.sleep(0.001)
        return await asyncio.to_thread(lambda: "done")

    async def main(begin: Begin) -> None:
        calls = [begin(lambda: asyncio.run(coroutine())) for _ in range(5)]
        assert [await call.done for call in calls] == ["done"] * 5

    run_jobs(main)


def test_start() -> None:
    """G6: who starts a thread while it holds a lock has given that back when others go on."""

    async def main(begin: Begin) -> None:
        def job() -> int:
            total = 0
            for _ in range(10):
                with ThreadPoolExecutor(4) as pool:
                    total += sum(pool.map(abs, range(-4, 0)))
            return total

        calls = [begin(job) for _ in range(5)]
        while not all(call.done.done() for call in calls):
            assert await asyncio.to_thread(abs, -1) == 1  # `submit` of the loop has the same lock
        assert [call.done.result() for call in calls] == [100] * 5

    run_jobs(main)


def test_join() -> None:
    """G6: a greenlet that waits for the end of a thread lets others go on."""

    async def main(begin: Begin) -> None:
        go = threading.Event()
        thread = threading.Thread(target=go.wait)
        with pytest.raises(RuntimeError, match="before it is started"):
            await begin(thread.join).done

        def start_and_join() -> bool:
            thread.start()
            thread.join(0.01)
            alive = thread.is_alive()
            thread.join()
            return alive

        call = begin(start_and_join)
        await until(thread.is_alive)
        await paused(call)
        go.set()
        assert await call.done is True
        assert not thread.is_alive()
        await begin(thread.join).done
        with pytest.raises(RuntimeError, match="cannot join current thread"):
            await begin(threading.main_thread().join).done
        thread.join()

    run_jobs(main)
