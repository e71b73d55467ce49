"""The kind of an app, from its signature alone."""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any

import django.conf
import flask
import litestar
import pytest
import quart
import starlette.applications
import starlette.endpoints
import webob
import webob.dec
from asgiref.wsgi import WsgiToAsgi as AsgirefWsgiToAsgi
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from fastapi import FastAPI
from werkzeug.debug import DebuggedApplication
from werkzeug.middleware.proxy_fix import ProxyFix

from bridge.asgi_to_wsgi import AsgiToWsgi
from bridge.asgi_versions import from_asgi2
from bridge.detect import as_asgi, as_wsgi, check_kind, detect, other_kind
from bridge.errors import ConfigError
from bridge.wsgi_to_asgi import WsgiToAsgi

if not django.conf.settings.configured:
    django.conf.settings.configure()


async def asgi(scope: Any, receive: Any, send: Any) -> None: ...
async def asgi_short(s: Any, r: Any, w: Any) -> None: ...
async def asgi_defaults(scope: Any, receive: Any = None, send: Any = None) -> None: ...
async def asgi_open(*args: Any, **kwargs: Any) -> None: ...
def asgi_passing_on(scope: Any, receive: Any, send: Any) -> Awaitable[None]: ...  # type: ignore[empty-body]
def asgi2(scope: Any) -> Any: ...
def wsgi(environ: Any, start_response: Any) -> Iterable[bytes]: ...  # type: ignore[empty-body]
def wsgi_names(a: Any, b: Any) -> Iterable[bytes]: ...  # type: ignore[empty-body]
def wsgi_more(env: Any, start_response: Any, exc_info: Any = None) -> Any: ...


def wsgi_generator(environ: Any, start_response: Any) -> Iterator[bytes]:
    yield b""


def asgi1(message: Any) -> None: ...
async def asgi1_async(message: Any) -> None: ...
async def asgi1_channels(message: Any, channels: Any) -> None: ...


def asgi1_replies(message: Any) -> Iterator[Any]:
    yield {}


async def asgi1_async_replies(message: Any) -> AsyncIterator[Any]:
    yield {}


class AsgiInstance:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...
    async def method(self, scope: Any, receive: Any, send: Any) -> None: ...


class WsgiInstance:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...
    def method(self, environ: Any, start_response: Any) -> Any: ...


class Asgi2Class:
    def __init__(self, scope: Any) -> None: ...
    async def __call__(self, receive: Any, send: Any) -> None: ...


class WsgiClass:
    """As PEP 3333 has it."""

    def __init__(self, environ: Any, start_response: Any) -> None: ...
    def __iter__(self) -> Iterator[bytes]: ...  # type: ignore[empty-body]


class Endpoint(starlette.endpoints.HTTPEndpoint): ...


def decorated(app: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(app)
    def wrapper(*args: Any, **kwargs: Any) -> Any: ...

    return wrapper


def as_other(app: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(app)
    async def wrapper(scope: Any, receive: Any, send: Any) -> Any: ...

    return wrapper


def with_more(setting: Any, environ: Any, start_response: Any) -> Any: ...


@webob.dec.wsgify
def webob_app(request: webob.Request) -> webob.Response: ...  # type: ignore[empty-body]


def double_marked(*args: Any) -> Any: ...


double_marked._asgi_double_callable = True  # type: ignore[attr-defined]

APPS = [
    ("asgi3", asgi),
    ("asgi3", asgi_short),
    ("asgi3", asgi_defaults),
    ("asgi3", asgi_open),
    ("asgi3", asgi_passing_on),
    ("asgi3", AsgiInstance()),
    ("asgi3", AsgiInstance().method),
    ("asgi3", Endpoint),
    ("asgi3", decorated(asgi)),
    ("asgi3", as_other(wsgi)),
    ("asgi3", functools.partial(asgi)),
    ("asgi3", functools.partial(AsgiInstance())),
    ("asgi3", from_asgi2(asgi2)),
    ("asgi2", asgi2),
    ("asgi2", Asgi2Class),
    ("asgi2", double_marked),
    ("asgi1", asgi1),
    ("asgi1", asgi1_async),
    ("asgi1", asgi1_channels),
    ("asgi1", asgi1_replies),
    ("asgi1", asgi1_async_replies),
    ("wsgi", wsgi),
    ("wsgi", wsgi_names),
    ("wsgi", wsgi_more),
    ("wsgi", wsgi_generator),
    ("wsgi", WsgiInstance()),
    ("wsgi", WsgiInstance().method),
    ("wsgi", WsgiClass),
    ("wsgi", decorated(wsgi)),
    ("wsgi", functools.partial(with_more, "setting")),
    ("wsgi", webob_app),
    ("wsgi", webob.Response()),
    ("wsgi", lambda e, s: []),
]

FRAMEWORKS = [
    ("wsgi", flask.Flask("app")),
    ("wsgi", ProxyFix(flask.Flask("app"))),
    ("wsgi", DebuggedApplication(flask.Flask("app"))),
    ("wsgi", WSGIHandler()),
    ("asgi3", ASGIHandler()),
    ("asgi3", starlette.applications.Starlette()),
    ("asgi3", FastAPI()),
    ("asgi3", quart.Quart("app")),
    ("asgi3", litestar.Litestar()),
    ("asgi3", AsgirefWsgiToAsgi(wsgi)),
    ("asgi3", WsgiToAsgi(wsgi)),
    ("wsgi", AsgiToWsgi(asgi)),
]


@pytest.mark.parametrize(("kind", "app"), APPS + FRAMEWORKS)
def test_the_kind_is_told_from_the_signature(kind: str, app: object) -> None:
    """D2: functions, methods, instances, classes, partials, decorated ones, and frameworks."""
    assert detect(app) == kind


class WsgiFactory:
    def __init__(self, settings: Any) -> None: ...
    def __call__(self, environ: Any, start_response: Any) -> Any: ...


async def view(request: Any) -> None: ...
async def view_of_three(request: Any, year: Any, month: Any) -> None: ...
def view_of_two(request: Any, key: Any) -> None: ...
def anything(*args: Any) -> None: ...
def one(x: Any) -> None: ...
async def two(a: Any, b: Any) -> None: ...
def four(a: Any, b: Any, c: Any, d: Any) -> None: ...
async def needs_keyword(scope: Any, receive: Any, send: Any, *, db: Any) -> None: ...
async def environ_async(environ: Any, start_response: Any) -> None: ...


@pytest.mark.parametrize(
    "app",
    [
        view,
        view_of_three,
        view_of_two,
        anything,
        one,
        two,
        four,
        needs_keyword,
        environ_async,
        max,
        WsgiFactory,
    ],
)
def test_what_is_unsure_is_asked_for(app: object) -> None:
    """D2: where the signature leaves a doubt, the error says what was seen and what to pass."""
    with pytest.raises(ConfigError, match=r"cannot tell .*kind=.*--interface"):
        detect(app)


@pytest.mark.parametrize(
    ("app", "text"),
    [
        (lambda: asgi, r"takes no arguments.*--factory"),
        (AsgiInstance, r"takes no arguments.*--factory"),
        (sys, r"sys is a module.*module:attribute"),
        (42, r"42 is no app: it is a int, and cannot be called"),
    ],
)
def test_what_is_no_app_gets_its_own_words(app: object, text: str) -> None:
    """D2: a factory, a module and a thing that cannot be called are named as such."""
    with pytest.raises(ConfigError, match=text):
        detect(app)


def test_what_python_cannot_see_into_is_asked_for() -> None:
    """D2: callables and classes without a signature, and decorators of nothing."""

    class Opaque:
        __call__ = max

    class Maker(type):
        __call__ = max  # type: ignore[assignment]

    class Made(metaclass=Maker):
        __signature__ = "none"

    def wrapper(*args: Any) -> None: ...

    wrapper.__wrapped__ = None  # type: ignore[attr-defined]
    for app in (Opaque(), Made, wrapper):
        with pytest.raises(ConfigError, match="cannot tell"):
            detect(app)
    with pytest.raises(ConfigError, match="its signature cannot be read"):
        detect(Opaque())


def test_an_app_is_never_called_to_find_out() -> None:
    """D2: detection has no effects."""

    class Loud:
        def __call__(self, environ: Any, start_response: Any) -> None:
            raise AssertionError("called")

        def __getattr__(self, name: str) -> Any:
            return Loud()

    assert detect(Loud()) == "wsgi"


def test_as_asgi_wraps_what_needs_it() -> None:
    """D2: ASGI 3 apps stay themselves; others are wrapped; adapters are not stacked."""
    assert as_asgi(asgi) is asgi
    assert as_asgi(AsgiToWsgi(asgi)) is asgi
    wrapped = as_asgi(wsgi, threads=3)
    assert isinstance(wrapped, WsgiToAsgi)
    assert wrapped.app is wsgi
    assert "from_asgi2" in repr(as_asgi(asgi2))


def test_as_wsgi_wraps_what_needs_it() -> None:
    """D2: the same, the other way round."""
    assert as_wsgi(wsgi) is wsgi
    assert as_wsgi(WsgiToAsgi(wsgi)) is wsgi
    wrapped = as_wsgi(asgi)
    assert isinstance(wrapped, AsgiToWsgi)
    assert wrapped.app is asgi
    assert isinstance(as_wsgi(asgi2), AsgiToWsgi)


def test_a_kind_that_is_plainly_another() -> None:
    """D2: a kind that was said is doubted only where the app can be seen into."""

    class Shy:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("not now")

        def __call__(self, environ: Any, start_response: Any) -> None: ...

    assert other_kind(wsgi, "asgi3") == "wsgi"
    assert other_kind(asgi, "wsgi") == "asgi3"
    assert other_kind(asgi, "asgi3") is None
    assert other_kind(anything, "wsgi") is None
    assert other_kind(Shy(), "asgi3") is None


def test_an_explicit_kind_wins() -> None:
    """D2: `kind` is believed, whatever the signature says; a kind that is none is an error."""
    assert isinstance(as_asgi(anything, kind="wsgi"), WsgiToAsgi)
    assert as_asgi(wsgi, kind="asgi3") is wsgi  # type: ignore[comparison-overlap]
    assert as_wsgi(asgi, kind="wsgi") is asgi  # type: ignore[comparison-overlap]
    assert check_kind("auto") is None
    for wrap in (as_asgi, as_wsgi):
        with pytest.raises(ConfigError, match=r"'asgi4'.*auto, asgi3, asgi2, asgi1, wsgi"):
            wrap(asgi, kind="asgi4")
