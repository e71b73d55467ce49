"""Tasks that start at once, and what becomes of awaitables that are no coroutines."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

#: How a task starts: from Python 3.12 on at once, and mostly it ends at once, too.
_EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}

if sys.version_info >= (3, 12):
    Task = asyncio.Task
else:

    class Task(asyncio.Task[T]):
        """A task that tells its context, as all do from Python 3.12 on."""

        def __init__(
            self,
            coroutine: Coroutine[Any, Any, T],
            *,
            context: contextvars.Context | None = None,
            **more: Any,
        ) -> None:
            self._own_context = contextvars.copy_context() if context is None else context
            super().__init__(coroutine, context=self._own_context, **more)

        def get_context(self) -> contextvars.Context:
            """Return the context that its coroutine runs in."""
            return self._own_context


def task_starter(loop: asyncio.AbstractEventLoop) -> Callable[..., asyncio.Task[Any]]:
    """Return a function that makes a `Task` on `loop`, run to its first wait at once if Python can.

    It takes a coroutine, and as `context` the context that it runs in (else a copy of the
    caller's). Made once for each loop, since each keyword costs on every request.
    """
    return partial(Task, loop=loop, **_EAGER)


async def awaiting(awaitable: Awaitable[T]) -> T:
    """Await any awaitable, for callers that need a coroutine."""
    return await awaitable


def as_coroutine(awaitable: Awaitable[T]) -> Coroutine[Any, Any, T]:
    """`awaitable` itself if it is a coroutine, else one that awaits it."""
    return awaitable if asyncio.iscoroutine(awaitable) else awaiting(awaitable)


def close_unawaited(awaitable: Awaitable[Any]) -> None:
    """Close a coroutine that nobody will await, before Python complains about that."""
    if asyncio.iscoroutine(awaitable):
        awaitable.close()
