"""`DjangoApp` in process: which handler takes what, and what is refused."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from django.http import HttpResponse
from django.urls import path, re_path

import bridge.django
from bridge.detect import as_asgi, as_wsgi
from bridge.dispatcher import Dispatcher
from bridge.django.app import DjangoApp, application
from bridge.errors import ConfigError
from bridge.types import Receive, Scope, Send
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.support.django_here import project, set_up
from tests.support.in_process import http, http_scope, talk, websocket

set_up()


def sync(request: Any, **more: Any) -> HttpResponse:
    return HttpResponse(type(request).__name__)


async def loop(request: Any, **more: Any) -> HttpResponse:
    return HttpResponse(type(request).__name__)


ROUTES = (path("sync", sync), path("loop", loop))


async def socket(scope: Scope, receive: Receive, send: Send) -> None:
    """An ASGI app that accepts, and closes; its lifespan fills the state."""
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["made"] = "at startup"
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": 4000})


def body(app: DjangoApp, path: str, **scope: Any) -> str:
    return http(app, path, **scope).body.decode()


def test_each_view_by_its_handler() -> None:
    """M30: synchronous views get a WSGI request, async ones an ASGI request."""
    with project(*ROUTES):
        app = application(runner="inline")
        assert [body(app, each) for each in ("/sync", "/loop")] == ["WSGIRequest", "ASGIRequest"]
        assert body(app, "/root/loop", root_path="/root") == "ASGIRequest"
        assert http(app, "/nowhere").status == 404
        assert repr(app) == "<DjangoApp>"


def test_it_is_a_wsgi_app_in_an_adapter() -> None:
    """M30: so settings, detection and mounts hold for it; without async views it is only that."""
    with project(path("sync", sync)):
        app = application(threads=3, timeout_request=5)
        assert isinstance(app, WsgiToAsgi)
        assert (app.runner.threads, app.timeout_request) == (3, 5)  # type: ignore[attr-defined]
        assert "on_loop" not in vars(app)  # no second chain of middleware
        assert as_asgi(app) is app
        assert as_wsgi(app) is app.app
        inline = application(runner="inline")
        assert inline.timeout_request is None
        assert body(Dispatcher({"/in": inline}), "/in/sync") == "WSGIRequest"  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="treads"):
        application(treads=3)


def test_host_that_begins_without_a_task() -> None:
    """M30: it is told that an async view cannot be begun like that."""
    with project(*ROUTES):
        app = application(runner="inline")

        async def begin(path: str) -> bool:
            async def receive() -> Any:
                return {"type": "http.request"}

            async def send(message: Any) -> None: ...

            with_runner = asyncio.create_task(app(http_scope("/sync"), receive, send))
            await with_runner  # from now on it serves this loop
            exchange = app.begin(http_scope(path), receive, send, lambda exchange: None)
            if exchange is not None:
                await app.finish(exchange)
            return exchange is not None

        assert [asyncio.run(begin(each)) for each in ("/sync", "/loop")] == [True, False]


def test_websockets() -> None:
    """M30: an app that is given takes them; else they are refused, and the log says why."""
    with project(*ROUTES):
        for given in (socket, f"{__name__}.socket"):
            app = application(websocket=given, runner="inline")
            assert app.websocket
            assert [m["type"] for m in websocket(app, "/")] == [
                "websocket.accept",
                "websocket.close",
            ]


def test_websockets_without_an_app(caplog: pytest.LogCaptureFixture) -> None:
    """M30: without an app for them they are refused, and the log says how to name one."""
    with project(*ROUTES):
        app = application(runner="inline")
        assert not app.websocket
        assert [m["type"] for m in websocket(app, "/live")] == ["websocket.close"]
    assert "refused a WebSocket at '/live'" in caplog.text
    assert "application(websocket=" in caplog.text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (True, "websocket is True; allowed is an ASGI app"),
        ("nothing.here", "No module named 'nothing'"),
        (f"{__name__}.missing", "does not define a"),
        (lambda environ, start_response: None, "of kind wsgi"),
    ],
)
def test_what_is_no_app_for_websockets(given: Any, said: str) -> None:
    """M30: a value that cannot be it is refused, with what is allowed."""
    with project(*ROUTES), pytest.raises(ConfigError, match=said):
        application(websocket=given)


async def lifespan(app: DjangoApp, state: dict[str, Any]) -> list[str]:
    """Start and stop it; the types of its answers."""
    received = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": state}
    return [each["type"] for each in (await talk(app, scope, received)).messages]


def test_lifespan() -> None:
    """M30: it is answered; the app for WebSockets may have its own, which fills the state."""
    complete = ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    with project(*ROUTES):
        state: dict[str, Any] = {}
        assert asyncio.run(lifespan(application(), state)) == complete
        assert asyncio.run(lifespan(application(websocket=socket), state)) == complete
        assert state == {"made": "at startup"}


def only_sync(get_response: Any) -> Any:
    """A middleware that is not async."""
    return get_response


def test_synchronous_middleware_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """M30: one line at the start names it, if there are async views."""
    caplog.set_level(logging.INFO)
    name = f"{__name__}.only_sync"
    for routes, times in ((ROUTES[:1], 0), (ROUTES, 1)):
        with project(*routes, MIDDLEWARE=[name]):
            asyncio.run(lifespan(application(), {}))
        assert caplog.text.count(name) == times
    assert "each async view blocks a thread" in caplog.text


@pytest.mark.parametrize("debug", [False, True])
def test_static_files_without_debug_are_told_of(
    debug: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """M30: the start warns of static files that are served by Django without `DEBUG`."""
    with project(*ROUTES, STATIC_URL="/static/", DEBUG=debug):
        asyncio.run(lifespan(application(static=True), {}))
    assert ("though DEBUG is False" in caplog.text) is not debug


def test_static_files() -> None:
    """M30: with `static`, files of installed apps are served, also beside an async catch-all."""
    catch_all = re_path("^", loop)
    with project(catch_all, STATIC_URL="/static/", STATICFILES_DIRS=[("own", "docs")]):
        app = application(static=True, runner="inline")
        assert b"# Documentation" in http(app, "/static/own/README.md").body
        assert http(app, "/static/own/missing").status == 404
        assert body(app, "/other") == "ASGIRequest"
        assert body(application(runner="inline"), "/static/own/README.md") == "ASGIRequest"
    with project(catch_all, STATIC_URL="https://cdn.example/static/"):
        assert body(application(static=True, runner="inline"), "/static/x") == "ASGIRequest"
    with project(catch_all, STATIC_URL=None), pytest.raises(ConfigError, match="STATIC_URL"):
        application(static=True)


def test_names_of_the_package() -> None:
    """M30: `bridge.django` has what its users call, and nothing else."""
    assert bridge.django.application is application
    assert bridge.django.DjangoApp is DjangoApp
    with pytest.raises(AttributeError, match="nothing"):
        bridge.django.nothing
