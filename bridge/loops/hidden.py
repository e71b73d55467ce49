"""Calls from which the running loop is hidden (G5)."""

from __future__ import annotations

import asyncio
import sys
import threading
from asyncio.events import _get_running_loop, _set_running_loop
from collections.abc import Callable
from typing import Any, Final, TypeVar

T = TypeVar("T")

#: From Python 3.14 on it is the thread that has a running task, not the loop: while one is there,
#: no other loop can run any in this thread. So it is hidden with its loop.
TASK_OF_THREAD: Final = sys.version_info >= (3, 14)
#: Sets the running task of the running loop, and returns the one before; from Python 3.12 on.
swap_task: Final[Callable[[asyncio.AbstractEventLoop, Any], Any]] = getattr(
    asyncio.tasks, "_swap_current_task", lambda loop, task: None
)


class _OfThread(threading.local):
    loop: asyncio.AbstractEventLoop | None = None


_of_thread = _OfThread()


def remember_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Note that `loop` is the one of this thread, for `hidden_loop`."""
    _of_thread.loop = loop


def hidden_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread though it is hidden; None if none was noted."""
    loop = _of_thread.loop
    return loop if loop is not None and loop.is_running() else None


def call_without_loop(call: Callable[..., T], *args: object) -> T:
    """Return ``call(*args)``; meanwhile no loop seems to run in this thread.

    For synchronous code on the loop's thread that asks whether a loop is running, and does
    otherwise if there is one: Django's ORM, `asyncio.run`. The loop is back at the end of the call,
    or when it switches to another greenlet.
    """
    running = _get_running_loop()
    if not TASK_OF_THREAD or running is None:
        _set_running_loop(None)
        try:
            return call(*args)
        finally:
            _set_running_loop(running)
    task = swap_task(running, None)
    _set_running_loop(None)
    try:
        return call(*args)
    finally:
        _set_running_loop(running)
        swap_task(running, task)
