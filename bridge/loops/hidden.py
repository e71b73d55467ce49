"""Calls from which the running loop is hidden (G5)."""

from __future__ import annotations

import asyncio
import threading
from asyncio.events import _get_running_loop, _set_running_loop
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


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
    _set_running_loop(None)
    try:
        return call(*args)
    finally:
        _set_running_loop(running)
