"""Greenlets that the app makes in one of ours: SQLAlchemy's asyncio does, in `asyncio.run`."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Any

import pytest
from greenlet import getcurrent, greenlet

from bridge.errors import RequestCancelled, WaitNotPossible
from tests.runners.patching.threads.jobs import Begin, paused, run_jobs


def in_greenlet(function: Any) -> Any:
    """Call `function` in a new greenlet, as code under SQLAlchemy's asyncio is."""
    return greenlet(function).switch()


def test_they_wait_without_blocking() -> None:
    """G6: a call that blocks there lets the loop and other requests go on, and comes back there."""

    async def main(begin: Begin) -> None:
        lock, pairs = threading.Lock(), [socket.socketpair() for _ in range(5)]

        def wait(sock: socket.socket) -> bytes:
            here = getcurrent()
            with lock:
                time.sleep(0.001)
            received = sock.recv(1)
            assert getcurrent() is here
            return received

        async def inner(sock: socket.socket) -> Any:
            await asyncio.sleep(0.001)
            return in_greenlet(lambda: in_greenlet(lambda: wait(sock)))

        calls = [begin(lambda s=left: asyncio.run(inner(s))) for left, _ in pairs]
        await asyncio.sleep(0.1)
        await paused(*calls)
        for number, (_, right) in enumerate(pairs):
            right.send(str(number).encode())
        assert [await call.done for call in calls] == [b"0", b"1", b"2", b"3", b"4"]
        for pair in pairs:
            for each in pair:
                each.close()

    run_jobs(main)


def test_what_interrupts_a_request() -> None:
    """G4: is raised where the greenlet waits, and goes on to the one that has made it."""
    cleaned_up = []

    def wait() -> None:
        try:
            time.sleep(60)
        finally:
            cleaned_up.append(getcurrent())

    async def main(begin: Begin) -> None:
        async def in_task() -> None:
            await asyncio.sleep(0)

        for before in (lambda: None, lambda: begin.runner.wait(in_task())):
            call = begin(lambda before=before: (before(), in_greenlet(wait)))
            await paused(call)
            begin.interrupt(call, RequestCancelled("enough"))
            with pytest.raises(RequestCancelled):
                await call.done

    run_jobs(main)
    assert len(cleaned_up) == 2


def test_a_lock_that_one_has() -> None:
    """G6: the loop's own code that wants a lock of theirs gets an error which names the line."""

    async def main(begin: Begin) -> None:
        lock, go = threading.Lock(), threading.Event()

        def hold() -> None:
            with lock:
                go.wait()

        call = begin(lambda: in_greenlet(hold))
        await paused(call)
        with pytest.raises(WaitNotPossible, match=r"test_greenlets\.py, line \d+"):
            lock.acquire()
        go.set()
        await call.done

    run_jobs(main)
