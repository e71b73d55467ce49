"""Tasks that start at once and tell their context; awaitables of every kind."""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Generator
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from bridge.loops.tasks import Task, as_coroutine, awaiting, close_unawaited, task_starter

variable: ContextVar[str] = ContextVar("variable", default="unset")


class Awaitable:
    """What can be awaited, and is no coroutine."""

    def __await__(self) -> Generator[Any, None, str]:
        yield from asyncio.sleep(0).__await__()
        return "awaited"


async def read() -> str:
    return variable.get()


def test_tasks_start_at_once() -> None:
    """From Python 3.12 on a coroutine that never waits is over when its task is made."""

    async def main() -> None:
        start = task_starter(asyncio.get_running_loop())
        task = start(read())
        assert task.done() is (sys.version_info >= (3, 12))
        assert await task == "unset"
        waits = start(asyncio.sleep(0, "slept"))
        assert not waits.done()
        assert await waits == "slept"

    asyncio.run(main())


@pytest.mark.parametrize("given", [True, False])
def test_tasks_tell_their_context(given: bool) -> None:
    """A task runs in the context that it is given, else in a copy, and tells which it is."""

    async def write() -> None:
        variable.set("written")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        context = copy_context()
        context.run(variable.set, "given")
        for start in (task_starter(loop), lambda *args, **more: Task(*args, loop=loop, **more)):
            task: Any = start(read(), context=context) if given else start(read())
            assert await task == ("given" if given else "unset")
            told = task.get_context()
            assert (told is context) is given
            writes: Any = start(write(), context=copy_context())
            await writes
            assert writes.get_context()[variable] == "written"
            assert variable.get() == "unset"

    asyncio.run(main())


def test_any_awaitable_as_a_coroutine() -> None:
    """W51: a coroutine stays itself; any other awaitable is awaited by one."""

    async def main() -> None:
        coroutine = read()
        assert as_coroutine(coroutine) is coroutine
        assert await coroutine == "unset"
        assert await asyncio.create_task(as_coroutine(Awaitable())) == "awaited"
        assert await asyncio.create_task(awaiting(Awaitable())) == "awaited"

    asyncio.run(main())


def test_an_unawaited_coroutine_is_closed() -> None:
    """W51: nothing is said about a coroutine that is refused; other awaitables are left alone."""

    async def main() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        close_unawaited(future)
        assert not future.done()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        close_unawaited(read())
        close_unawaited(Awaitable())
    asyncio.run(main())
