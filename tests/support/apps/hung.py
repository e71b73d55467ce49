"""A cutover whose new app hangs in threads of all kinds, for each copy; the old one uses the same.

``/tothread``: `asyncio.to_thread`. ``/view``: a synchronous view of FastAPI. ``/sensitive``:
`sync_to_async`, for which asgiref has one thread in each process. ``/free`` ends what hangs now,
``/held`` says how much does, and ``/reasons`` why there were no copies. The loop has two threads,
and anyio has eight, as the old app has set.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from anyio.to_thread import current_default_thread_limiter
from asgiref.sync import sync_to_async
from fastapi import FastAPI

from bridge import Cutover, Route

PATHS = ("/tothread", "/view", "/sensitive")


@asynccontextmanager
async def with_few_threads(app: FastAPI) -> AsyncIterator[None]:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    current_default_thread_limiter().total_tokens = 8
    yield


def with_views(work: Callable[[], object], app: FastAPI) -> FastAPI:
    """Have `app` do `work` in threads."""

    @app.get("/tothread")
    async def tothread() -> str:
        await asyncio.to_thread(work)
        return "same"

    @app.get("/view")
    def view() -> str:
        work()
        return "same"

    @app.get("/sensitive")
    async def sensitive() -> str:
        await sync_to_async(work)()
        return "same"

    return app


old = with_views(bool, FastAPI(lifespan=with_few_threads))
hangs = [threading.Event()]
new = with_views(lambda: hangs[-1].wait(60), FastAPI())


@old.get("/free")
async def free() -> None:
    ended = hangs[-1]
    hangs.append(threading.Event())
    ended.set()


@old.get("/held")
async def held() -> int:
    assert app.copies is not None
    return app.copies._maker._held()


@old.get("/reasons")
async def reasons() -> dict[str, dict[str, int]]:
    assert app.copies is not None
    return app.copies.reasons()


app = Cutover(
    old,
    new,
    [Route(path[1:], path, mode="shadow") for path in PATHS],
    shadow={"concurrency": 10, "timeout": 0.2},
)
