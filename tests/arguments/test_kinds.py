"""The kind of an app, from its signature alone."""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any
from unittest.mock import MagicMock

import django.conf
import flask
import litestar
import pytest
import quart
import starlette.applications
import starlette.endpoints
import webob
import webob.dec
import webob.static
import werkzeug.local
from asgiref.wsgi import WsgiToAsgi as AsgirefWsgiToAsgi
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from fastapi import FastAPI
from werkzeug.debug import DebuggedApplication
from werkzeug.middleware.proxy_fix import ProxyFix

from bridge.arguments.kinds import check_kind, detect, other_kind
from bridge.asgi.versions import from_asgi2
from bridge.asgi_to_wsgi import AsgiToWsgi
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
    """The example of PEP 3333."""

    def __init__(self, environ: Any, start_response: Any) -> None: ...
    def __iter__(self) -> Iterator[bytes]: ...  # type: ignore[empty-body]


class Endpoint(starlette.endpoints.HTTPEndpoint): ...


def decorated(app: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(app)
    def wrapper(*args: Any, **kwargs: Any) -> Any: ...

    return wrapper


def with_keyword(app: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(app)
    def wrapper(*args: Any, timeout: Any = None) -> Any: ...

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
        (lambda: asgi, r"the function .*<lambda> takes no arguments.*--factory"),
        (AsgiInstance, r"the class .*\.AsgiInstance takes no arguments.*--factory"),
        (sys, r"sys is a module.*module:attribute"),
        (42, r"42 is no app: it is an int, and cannot be called"),
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


def test_kinds_are_checked() -> None:
    """D2: `auto` and nothing ask for detection; a kind that is none is told by name."""
    assert check_kind("auto") is None
    assert check_kind(None) is None
    assert check_kind("wsgi") == "wsgi"
    with pytest.raises(ConfigError, match=r"'asgi4'.*auto, asgi3, asgi2, asgi1, wsgi"):
        check_kind("asgi4")


# ------------------------------------------------------------- where the signature says nothing


class Slotted:
    """As sentry_sdk's ASGI middleware: the call is in a slot."""

    __slots__ = ("__call__", "app")

    def __init__(self, run: Callable[..., Any]) -> None:
        self.__call__ = run


class Unfilled:
    __slots__ = ("__call__",)


class Wsgified:
    @webob.dec.wsgify
    def __call__(self, request: webob.Request) -> webob.Response: ...  # type: ignore[empty-body]


class DecoratedCall:
    @decorated
    def __call__(self, environ: Any, start_response: Any) -> Any: ...


class OpenFlask(flask.Flask):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs)


class OpenStarlette(starlette.applications.Starlette):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs)


class Dashboard:
    """As dash.Dash: the framework's app is in `server`."""

    def __init__(self, server: Any) -> None:
        self.server = server

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.server(*args, **kwargs)


def plain_decorator(app: Callable[..., Any]) -> Callable[..., Any]:
    def log(level: Any, text: Any) -> None: ...

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        log("info", "called")
        return app(*args, **kwargs)

    return wrapper


class PlainDecorated:
    def __init__(self, app: Any) -> None:
        self.__call__ = plain_decorator(app)

    def __call__(self, *args: Any) -> Any: ...


class Partial:
    __call__ = functools.partialmethod(lambda self, setting, environ, start_response: None, 5)


def passing(app: Any, *args: Any) -> Any: ...


@pytest.mark.parametrize(
    ("kind", "app"),
    [
        ("asgi3", Slotted(asgi)),
        ("wsgi", Slotted(wsgi)),
        ("wsgi", Slotted(webob_app)),
        ("asgi3", Slotted(AsgiInstance().method)),
        ("wsgi", Wsgified()),
        ("wsgi", webob.static.DirectoryApp(".")),
        ("wsgi", DecoratedCall()),
        ("wsgi", DecoratedCall().__call__),
        ("wsgi", OpenFlask("app")),
        ("asgi3", OpenStarlette()),
        ("wsgi", Dashboard(flask.Flask("app"))),
        ("asgi3", Dashboard(FastAPI())),
        ("wsgi", Dashboard(Dashboard(flask.Flask("app")))),
        ("wsgi", plain_decorator(wsgi)),
        ("asgi3", plain_decorator(asgi)),
        ("wsgi", plain_decorator(plain_decorator(flask.Flask("app")))),
        ("wsgi", functools.partial(plain_decorator(wsgi))),
        ("wsgi", functools.partial(passing, flask.Flask("app"))),
        ("wsgi", functools.partial(webob_app)),
        ("wsgi", werkzeug.local.LocalProxy(lambda: flask.Flask("app"))),
        ("wsgi", decorated(decorated(wsgi))),
        ("wsgi", functools.lru_cache(wsgi)),
        ("wsgi", with_keyword(wsgi)),
        ("wsgi", Partial()),
    ],
)
def test_what_a_call_runs_tells_the_kind(kind: str, app: object) -> None:
    """D2: slots, descriptors, decorators, base classes and the app inside are looked at."""
    assert detect(app) == kind


def test_two_apps_in_one_wrapper_are_asked_for() -> None:
    """D2: one that holds apps of two kinds may be either, and nothing is guessed."""

    def both(*args: Any) -> Any:
        return asgi if args else wsgi

    def chosen(old: Any, new: Any) -> Any:
        return lambda *args: (old if len(args) == 2 else new)(*args)

    class Broken:
        @property
        def app(self) -> Any:
            raise RuntimeError("not now")

        def __call__(self, *args: Any) -> Any: ...

    class Endless:
        def __call__(self, *args: Any) -> Any: ...

    class Blocks:
        """As Gradio's: a call of it is no request, though it has an app."""

        app = flask.Flask("app")

        def __call__(self, *inputs: Any, fn_index: int = 0) -> Any: ...

    endless = Endless()
    endless.app = endless  # type: ignore[attr-defined]
    for app in (both, chosen(wsgi, asgi), Broken(), Blocks(), endless, Unfilled(), MagicMock()):
        with pytest.raises(ConfigError, match="cannot tell"):
            detect(app)


# ------------------------------------------------------------- factories


def create_app(test_config: Any = None) -> Any: ...
def make_app(config: Any, debug: Any) -> Any: ...
def build_api(one: Any, two: Any, three: Any) -> Any: ...
def get_application(*args: Any) -> Any: ...
async def create_async_app() -> Any: ...
async def make_async_app(*args: Any) -> Any: ...
def make_response(one: Any, two: Any) -> Any: ...
def create_wsgi(environ: Any, start_response: Any) -> Any: ...


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (create_app, "say --factory, or {here}:create_app()"),
        (create_app, "the function {here}.create_app is a callable that takes (test_config)"),
        (lambda config=None: None, "say --factory, or module:function()"),
        (make_app, 'say {here}:make_app("...")'),
        (build_api, 'say {here}:build_api("...")'),
        (get_application, "say --factory, or {here}:get_application()"),
        (create_async_app, "looks like an async factory: make it a plain function"),
        (make_async_app, "looks like an async factory: make it a plain function"),
    ],
)
def test_a_factory_is_named_as_one(factory: object, said: str) -> None:
    """D2: if --factory was forgotten, the error says so, and not only how to set a kind."""
    with pytest.raises(ConfigError) as caught:
        detect(factory)
    assert said.format(here=__name__) in str(caught.value)
    assert "--interface" in str(caught.value)


def test_apps_that_are_named_like_factories() -> None:
    """D2: a name is no proof where the arguments say that it is an app."""
    assert detect(create_wsgi) == "wsgi"
    assert detect(make_response) == "wsgi"
