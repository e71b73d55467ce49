"""Apps inside of wrappers are found; what is not found is one row."""

from __future__ import annotations

import functools
import subprocess
import sys
from typing import Any

import pytest
from a2wsgi import ASGIMiddleware, WSGIMiddleware
from asgiref.wsgi import WsgiToAsgi as AsgirefWsgiToAsgi
from flask import Flask
from sentry_sdk.integrations.asgi import SentryAsgiMiddleware
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware
from starlette.applications import Starlette
from starlette.routing import Mount
from webob.dec import wsgify
from werkzeug.middleware.proxy_fix import ProxyFix

from bridge import Dispatcher
from bridge.route_tables import Submount, read_table
from bridge.route_tables.finding import UNREAD
from tests.support import hosts

flask_app = Flask("shop")


def by_decorator(app: Any) -> Any:
    def middleware(environ: Any, start_response: Any) -> Any:
        return app(environ, start_response)

    return middleware


class ByMethod:
    def __init__(self, app: Any) -> None:
        self.application = app

    def handle(self, environ: Any, start_response: Any) -> Any:
        return self.application(environ, start_response)


class Raising:
    @property
    def app(self) -> Any:
        raise RuntimeError("not yet")

    def __init__(self, app: Any) -> None:
        self._app = app

    def __call__(self, environ: Any, start_response: Any) -> Any: ...


def passes_on(environ: Any, start_response: Any, *, app: Any) -> Any:
    return app(environ, start_response)


@pytest.mark.parametrize(
    "wrapped",
    [
        ProxyFix(flask_app),
        flask_app.wsgi_app,
        SentryWsgiMiddleware(flask_app),
        SentryAsgiMiddleware(AsgirefWsgiToAsgi(flask_app)),
        WSGIMiddleware(flask_app),
        ASGIMiddleware(WSGIMiddleware(flask_app)),
        AsgirefWsgiToAsgi(flask_app),
        by_decorator(by_decorator(flask_app)),
        ByMethod(flask_app).handle,
        functools.partial(passes_on, app=flask_app),
        Raising(flask_app),
    ],
    ids=lambda wrapped: type(wrapped).__name__,
)
def test_common_wrappers(wrapped: Any) -> None:
    """M50: they are looked through, and the app is called by its own name."""
    table = read_table(wrapped)
    assert (table.framework, table.app) == ("Flask", "Flask 'shop'")


@wsgify
def by_webob(request: Any) -> Any: ...


async def bare(scope: Any, receive: Any, send: Any) -> None: ...


def test_apps_without_known_routes() -> None:
    """M50: they are one row, with the place of what is called."""
    table = read_table(bare)
    assert (table.app, table.unread, table.entries) == (f"{__name__}.bare", UNREAD, ())
    assert (table.view.is_async, table.view.line is not None) == (True, True)
    assert read_table(by_webob).view.name == f"{__name__}.by_webob"
    assert read_table(sys).unread == UNREAD
    assert read_table(Flask).unread == UNREAD


class Broken:
    """A descriptor that raises."""

    def __get__(self, instance: Any, owner: Any) -> Any:
        raise RuntimeError("not yet")


def test_wrappers_that_are_not_ready() -> None:
    """M50: closures that are not filled yet, and attributes that raise, hold no app."""

    def unfilled(environ: Any, start_response: Any) -> Any:
        return later(environ, start_response)

    assert read_table(unfilled).unread == UNREAD
    later = flask_app
    assert read_table(unfilled).framework == "Flask"

    class Wrapper(Raising):
        application = Broken()

    assert read_table(Wrapper(flask_app)).framework == "Flask"


def test_circles_end() -> None:
    """M50: wrappers and mounts that lead to themselves are read once."""
    wrapper = ByMethod(None)
    wrapper.application = wrapper.handle
    assert read_table(wrapper.handle).unread == UNREAD
    app = Starlette()
    app.router.routes.append(Mount("/self", app))
    (inner,) = read_table(app).entries
    for _ in range(3):
        assert isinstance(inner, Submount)
        if inner.table.unread:
            break
        (inner,) = inner.table.entries
    assert isinstance(inner, Submount)
    assert inner.table.unread.startswith("its routes are not read")


def test_apps_that_raise_when_they_are_read() -> None:
    """M50: that is told in their row; other apps are read."""
    broken = Flask("broken")
    broken.config = None  # type: ignore[assignment]
    first, second = read_table(Dispatcher({"/a": broken, "/": flask_app})).entries
    assert isinstance(first, Submount)
    assert isinstance(second, Submount)
    assert first.table.unread.startswith(f"{UNREAD}: AttributeError: ")
    assert second.table.framework == "Flask"


def test_names_of_mounted_apps() -> None:
    """M50: whoever asks may know better names."""
    names = {id(flask_app): "shop:app"}
    app = Dispatcher({"/": ProxyFix(flask_app)})
    (mount,) = read_table(app, "site:app", lambda each: names.get(id(each), "")).entries
    assert isinstance(mount, Submount)
    assert mount.table.app == "shop:app"


def test_frameworks_are_not_loaded() -> None:
    """M50: to read an app loads no framework."""
    code = (
        "import sys\nfrom bridge.route_tables import read_table\n"
        "async def app(scope, receive, send): ...\nread_table(app)\n"
        "print({'flask', 'django', 'starlette', 'werkzeug', 'asyncio'} & set(sys.modules))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=hosts.ROOT, capture_output=True, text=True, timeout=60
    )
    assert ended.stdout == "set()\n", ended.stderr
