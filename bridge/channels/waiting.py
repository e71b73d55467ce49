"""How a reader waits for a message: in a thread, in a gevent greenlet, or in a coroutine (L6).

Whoever has messages offers two functions. ``look(reader)`` takes what is there; if nothing is, it
has the reader stand in line, in one step with the look, so that no message falls between.
``leave(reader)`` ends that. One message wakes one reader, the first in line, which then looks
again. It may find nothing, because another was quicker; then it stands in line anew. It may also
have given up meanwhile: so whoever leaves passes the news on if there is still something to take.
"""

from __future__ import annotations

import asyncio
import time
from asyncio.events import _get_running_loop
from collections.abc import Callable
from typing import Protocol, TypeAlias, TypeVar

from bridge.loops.waiters import waiter

T = TypeVar("T")


class Reader(Protocol):
    """One that waits, in whatever way."""

    def wake(self) -> bool:
        """Have it look again; from any thread. False if it never will: its loop has ended."""


Look: TypeAlias = Callable[[Reader], T | None]
Leave: TypeAlias = Callable[[Reader], None]


class Line:
    """The readers that wait for one thing, first come first. Guarded by the lock of its owner."""

    __slots__ = ("_readers",)

    def __init__(self) -> None:
        self._readers: dict[Reader, None] = {}

    def __bool__(self) -> bool:
        return bool(self._readers)

    def stand(self, reader: Reader) -> None:
        """Put `reader` at the end, unless it stands here already."""
        self._readers[reader] = None

    def leave(self, reader: Reader) -> None:
        """Take `reader` out, if it is here."""
        self._readers.pop(reader, None)

    def first(self) -> Reader | None:
        """Take out the first; None if nobody waits. It must be woken, without the lock."""
        for reader in self._readers:
            del self._readers[reader]
            return reader
        return None

    def all(self) -> list[Reader]:
        """Take out all. They must be woken, without the lock."""
        readers = [*self._readers]
        self._readers.clear()
        return readers


def wait_in_thread(look: Look[T], leave: Leave, timeout: float) -> T | None:
    """Return what `look` finds, within `timeout` seconds; None if it finds nothing.

    Blocks the thread, or the greenlet if gevent runs it.
    """
    reader = _ThreadReader()
    deadline = time.monotonic() + timeout
    try:
        while True:
            found = look(reader)
            left = deadline - time.monotonic()
            if found is not None or left <= 0:
                return found
            reader.wait(left)
    finally:
        leave(reader)


async def wait_on_loop(look: Look[T], leave: Leave, timeout: float) -> T | None:
    """Wait as `wait_in_thread` does, in a task.

    Nothing that `look` has found is lost if the task is cancelled: there is no wait after it.
    """
    loop = asyncio.get_running_loop()
    reader = _LoopReader(loop)
    timer = loop.call_later(timeout, reader.end)
    try:
        while True:
            reader.prepare()
            found = look(reader)
            if found is not None or reader.ended:
                return found
            await reader.news
    finally:
        timer.cancel()
        leave(reader)


class _ThreadReader:
    """Waits in a thread or a gevent greenlet."""

    __slots__ = ("_flag", "wait")

    def __init__(self) -> None:
        self._flag = waiter()
        self.wait = self._flag.wait

    def wake(self) -> bool:
        try:
            self._flag.wake()
        except (RuntimeError, ValueError):  # gevent's hub was destroyed while its greenlet waited
            return False
        return True


class _LoopReader:
    """Waits on an event loop."""

    __slots__ = ("_loop", "ended", "news")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.ended = False
        self.news: asyncio.Future[None]

    def prepare(self) -> None:
        """Be ready to be woken."""
        self.news = self._loop.create_future()

    def wake(self) -> bool:
        if _get_running_loop() is self._loop:
            self._set()
            return True
        try:
            self._loop.call_soon_threadsafe(self._set)
        except RuntimeError:  # the loop was closed while its task waited
            return False
        return True

    def end(self) -> None:
        """Wake it for the last time: its time is up."""
        self.ended = True
        self._set()

    def _set(self) -> None:
        if not self.news.done():
            self.news.set_result(None)
