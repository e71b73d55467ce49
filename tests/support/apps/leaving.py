"""Streams of five frameworks, and what became of them when their client left.

Each app here has ``/busy`` (pieces without end), ``/slow`` (one piece, and then none ever) and
``/late`` (an answer, when ``/release`` was asked for); ``/seen`` tells how many bodies were opened
and closed, and how many requests were finished by the framework's own way to do something then.
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import django
from django.conf import settings
from django.core import signals
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
from fastapi import BackgroundTasks, FastAPI
from litestar import Litestar, get
from litestar.response import Stream
from quart import Quart
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from bridge import AsgiToWsgi, Dispatcher
from bridge.types import ASGIApp, Receive, Scope, Send


class Watched:
    """What happened in one app."""

    def __init__(self) -> None:
        self.seen = {"opened": 0, "closed": 0, "finished": 0}
        self._release: asyncio.Event | None = None

    @property
    def release(self) -> asyncio.Event:
        """What ``/late`` waits for."""
        if self._release is None:
            self._release = asyncio.Event()
        return self._release

    async def busy(self) -> AsyncIterator[bytes]:
        """The body of ``/busy``."""
        self.seen["opened"] += 1
        try:
            while True:
                yield b"b" * 4000
                await asyncio.sleep(0.001)
        finally:
            self.seen["closed"] += 1

    async def slow(self) -> AsyncIterator[bytes]:
        """The body of ``/slow``."""
        self.seen["opened"] += 1
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            self.seen["closed"] += 1

    async def late(self) -> str:
        """The body of ``/late``."""
        self.seen["opened"] += 1
        try:
            await self.release.wait()
        finally:
            self.seen["closed"] += 1
        return "late"

    def finished(self, *_: Any, **__: Any) -> None:
        """The framework is done with a request."""
        self.seen["finished"] += 1

    async def afterwards(self, *_: Any) -> None:
        """The same, awaited, and not at once.

        Quart cancels its handler when it hears of the disconnect, wherever that is: here, too.
        """
        try:
            await asyncio.sleep(0)
        finally:
            self.finished()

    def around(self, app: ASGIApp) -> ASGIApp:
        """`app`, and the two paths that tests ask for."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope.get("path", "")
            if path.endswith("/release"):
                self.release.set()
            elif not path.endswith("/seen"):
                await app(scope, receive, send)
                return
            gc.collect()  # Starlette's middleware leaves some bodies to it, on other servers, too
            body = json.dumps(self.seen).encode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})

        gc.freeze()  # it need not look at all the modules, each time `/seen` is asked for
        return watched


def make_django() -> ASGIApp:
    watched = Watched()

    def stream(pieces: Callable[[], AsyncIterator[bytes]]) -> Any:
        async def view(request: Any) -> StreamingHttpResponse:
            return StreamingHttpResponse(pieces())

        return view

    async def late(request: Any) -> HttpResponse:
        return HttpResponse(await watched.late())

    class Urls:
        urlpatterns = (
            path("busy", stream(watched.busy)),
            path("slow", stream(watched.slow)),
            path("late", late),
        )

    settings.configure(SECRET_KEY="x", ALLOWED_HOSTS=["*"], ROOT_URLCONF=Urls, LOGGING_CONFIG=None)
    django.setup()
    signals.request_finished.connect(watched.finished, weak=False)
    return watched.around(ASGIHandler())


def make_starlette() -> ASGIApp:
    watched = Watched()
    after = BackgroundTask(watched.afterwards)

    async def busy(request: Request) -> Response:
        return StreamingResponse(watched.busy(), background=after)

    async def slow(request: Request) -> Response:
        return StreamingResponse(watched.slow(), background=after)

    async def late(request: Request) -> Response:
        return PlainTextResponse(await watched.late(), background=after)

    routes = [Route("/busy", busy), Route("/slow", slow), Route("/late", late)]
    return watched.around(Starlette(routes=routes))


def make_fastapi() -> ASGIApp:
    """With a middleware of the kind that runs the rest in a task of its own."""

    watched = Watched()
    app = FastAPI()

    @app.middleware("http")
    async def pass_on(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    @app.get("/busy")
    async def busy(tasks: BackgroundTasks) -> StreamingResponse:
        tasks.add_task(watched.afterwards)
        return StreamingResponse(watched.busy(), background=tasks)

    @app.get("/slow")
    async def slow(tasks: BackgroundTasks) -> StreamingResponse:
        tasks.add_task(watched.afterwards)
        return StreamingResponse(watched.slow(), background=tasks)

    @app.get("/late")
    async def late(tasks: BackgroundTasks) -> str:
        tasks.add_task(watched.afterwards)
        return await watched.late()

    return watched.around(app)


def make_litestar() -> ASGIApp:
    watched = Watched()

    @get("/busy", after_response=watched.afterwards)
    async def busy() -> Stream:
        return Stream(watched.busy())

    @get("/slow", after_response=watched.afterwards)
    async def slow() -> Stream:
        return Stream(watched.slow())

    @get("/late", after_response=watched.afterwards)
    async def late() -> str:
        return await watched.late()

    return watched.around(Litestar([busy, slow, late]))


def make_quart() -> ASGIApp:
    watched = Watched()
    app = Quart(__name__)
    app.teardown_request(watched.afterwards)
    app.add_url_rule("/busy", "busy", watched.busy)
    app.add_url_rule("/slow", "slow", watched.slow)
    app.add_url_rule("/late", "late", watched.late)
    return watched.around(app)


FRAMEWORKS = ("django", "starlette", "fastapi", "litestar", "quart")


def make_mounted() -> Dispatcher:
    """All of them in one process."""
    return Dispatcher({f"/{name}": globals()[f"make_{name}"]() for name in FRAMEWORKS})


def make_wsgi() -> AsgiToWsgi:
    """The same on a WSGI host."""
    return AsgiToWsgi(make_mounted(), disconnect_grace=5)
