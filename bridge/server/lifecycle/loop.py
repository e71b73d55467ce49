"""The event loop of the server, uvloop's if that is installed; it ends in bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from bridge.errors import ConfigError
from bridge.log import logger
from bridge.loops.factory import new_event_loop
from bridge.loops.thread import CANCEL_GRACE
from bridge.server.lifecycle.orders import Orders

T = TypeVar("T")


def refuse_running_loop(name: str) -> None:
    """Raise `ConfigError` if a loop is running: in a notebook, or in async code."""
    if asyncio._get_running_loop() is not None:
        raise ConfigError(
            f"{name} runs an event loop of its own, and one runs here already; there, say: "
            "from bridge.server import Config, Server; await Server(Config(app=app)).serve()"
        )


@contextmanager
def own_loop(orders: Orders) -> Iterator[asyncio.AbstractEventLoop]:
    """Make a new loop, the current one of this thread; it does not run yet, and is closed at last.

    Whatever the app has left on it, that takes no longer than `orders.time_left`: tasks that ignore
    that they are cancelled and threads (``asyncio.to_thread``) that hang are left behind.
    """
    loop = new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield loop
    finally:
        try:
            loop.run_until_complete(_end(orders))
        finally:
            orders.detach_loop()
            asyncio.set_event_loop(None)
            loop.close()


def complete(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on `loop` to its end, as ``run_until_complete`` does.

    `SystemExit`, which an app's task may raise, ends that task only (S14): asyncio lets it out of
    the loop as well, and there the loop goes on.
    """
    asyncio.set_event_loop(loop)  # an ``asyncio.run`` of the app's, before, has left none
    task = loop.create_task(main)
    while True:
        try:
            return loop.run_until_complete(task)
        except SystemExit:
            if task.done():
                raise


async def _end(orders: Orders) -> None:
    loop = asyncio.get_running_loop()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=min(CANCEL_GRACE, orders.time_left()))
    await _in_time(loop.shutdown_asyncgens(), orders)
    if not await _in_time(_end_threads(loop), orders):
        logger.warning("left threads behind that the app has started and that do not end")


async def _end_threads(loop: asyncio.AbstractEventLoop) -> None:
    """Join the threads of ``asyncio.to_thread``.

    If that is given up, the thread of asyncio's that waits for the others may be the last to know
    of this coroutine. It then closes it, and cannot join itself.
    """
    with suppress(RuntimeError):
        await loop.shutdown_default_executor()


async def _in_time(work: Coroutine[Any, Any, None], orders: Orders) -> bool:
    """Do `work`, at most as long as there is time; return whether it was done.

    It is not cancelled: to cancel what joins a thread is to wait for that thread.
    """
    task: Any = asyncio.ensure_future(work)
    cut = asyncio.ensure_future(orders.cut.wait())  # leaves less time
    await asyncio.sleep(0)
    await asyncio.wait([task, cut], timeout=orders.time_left(), return_when=asyncio.FIRST_COMPLETED)
    cut.cancel()
    await asyncio.wait([task], timeout=orders.time_left())
    task._log_destroy_pending = False
    return bool(task.done())
