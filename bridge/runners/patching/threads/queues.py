"""`queue.SimpleQueue` for greenlets (G6): the queue that is written in C.

What is in it is in the real queue, for threads as ever. A greenlet that finds it empty waits, and
each `put` wakes one. `put` may be called by a finalizer or a signal's handler in the middle of
another call, as that of the real queue: it holds no lock.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty
from queue import SimpleQueue as RealQueue
from types import GenericAlias
from typing import Any

from bridge.runners.greenlets.worker import current_worker
from bridge.runners.patching.threads.waiters import WaitingGreenlets


class SimpleQueue(RealQueue[Any]):
    """As `queue.SimpleQueue`; a greenlet that waits for an item lets others go on."""

    __slots__ = ("_greenlets",)

    def __init__(self) -> None:
        super().__init__()
        self._greenlets = WaitingGreenlets()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put `item` in; never waits."""
        super().put(item)
        self._greenlets.wake_one()

    def put_nowait(self, item: Any) -> None:
        """Put `item` in."""
        super().put(item)
        self._greenlets.wake_one()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take out an item. Raises `queue.Empty` if there is none in the time given."""
        worker = current_worker()
        if worker is None or not block:
            return super().get(block, timeout)
        if timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        items: list[Any] = []
        take: Callable[[], Any] = super().get_nowait

        def attempt() -> bool:
            try:
                items.append(take())
            except Empty:
                return False
            return True

        if attempt() or self._greenlets.wait_until(worker, attempt, timeout):
            return items[0]
        raise Empty

    __class_getitem__: Any = classmethod(GenericAlias)


def patch() -> list[tuple[object, object]]:
    """Return the queue of the standard library, and what is to be in its place."""
    return [(RealQueue, SimpleQueue)]
