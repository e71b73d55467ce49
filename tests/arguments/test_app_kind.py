"""Which apps the two adapters take, and what they say of the others."""

from __future__ import annotations

from typing import Any

import flask
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette

from bridge import AsgiToWsgi, WsgiToAsgi, as_asgi, as_wsgi
from bridge.arguments.app_kind import check_app
from bridge.errors import ConfigError


def wsgi(environ: Any, start_response: Any) -> Any: ...
async def asgi(scope: Any, receive: Any, send: Any) -> None: ...
def asgi2(scope: Any) -> Any: ...
def asgi1(message: Any) -> Any: ...


@pytest.mark.parametrize(
    ("app", "words"),
    [
        (asgi, "an ASGI app, which every ASGI server takes as it is; WsgiToAsgi is for WSGI apps"),
        (FastAPI(), "and AsgiToWsgi makes WSGI of ASGI. If it is a WSGI app all the same"),
        (Starlette(), "is an ASGI app"),
        (WsgiToAsgi(wsgi), "is an ASGI app"),
        (asgi2, "is an ASGI 2 app; say from_asgi2(app), or as_asgi(app)"),
        (asgi1, "is an ASGI 1 consumer; say from_asgi1(app), or as_asgi(app)"),
        ("app", "a WSGI app is a callable, and 'app' is a str"),
        (None, "a WSGI app is a callable, and None is a NoneType"),
    ],
)
def test_what_wsgi_to_asgi_refuses(app: Any, words: str) -> None:
    """W56: an app of another kind is refused when it is wrapped, with what serves it."""
    with pytest.raises(ConfigError) as caught:
        check_app(app, None, "wsgi")
    assert words in str(caught.value)
    with pytest.raises(ConfigError) as same:
        WsgiToAsgi(app)
    assert str(same.value) == str(caught.value)


@pytest.mark.parametrize(
    ("app", "words"),
    [
        (flask.Flask("app"), "is a WSGI app, which every WSGI host takes as it is; AsgiToWsgi is "),
        (wsgi, "and WsgiToAsgi makes ASGI of WSGI. If it is an ASGI app all the same"),
        (asgi2, "is an ASGI 2 app; say AsgiToWsgi(from_asgi2(app)), or as_wsgi(app)"),
        (asgi1, "is an ASGI 1 consumer; say AsgiToWsgi(from_asgi1(app)), or as_wsgi(app)"),
        ("module:app", "an ASGI app is a callable, and 'module:app' is a str"),
        (None, "an ASGI app is a callable, and None is a NoneType"),
    ],
)
def test_what_asgi_to_wsgi_refuses(app: Any, words: str) -> None:
    """A41: not at the first request; and the right one is named."""
    with pytest.raises(ConfigError) as caught:
        check_app(app, None, "asgi3")
    assert words in str(caught.value)
    with pytest.raises(ConfigError) as same:
        AsgiToWsgi(app)
    assert str(same.value) == str(caught.value)


def test_what_is_taken() -> None:
    """W56 A41: an app of the right kind, and one of which the kind cannot be told."""
    check_app(wsgi, None, "wsgi")
    check_app(asgi, None, "asgi3")
    for wanted in ("wsgi", "asgi3"):
        check_app(lambda *args: None, "auto", wanted)


def test_a_kind_that_is_said_is_believed() -> None:
    """W56 A41: what an app is said to be, it is."""
    check_app(asgi, "wsgi", "wsgi")
    check_app(wsgi, "asgi3", "asgi3")
    with pytest.raises(ConfigError, match="is a WSGI app"):
        check_app(asgi, "wsgi", "asgi3")
    with pytest.raises(ConfigError, match="kind is 'asgi4'"):
        check_app(asgi, "asgi4", "asgi3")
    assert WsgiToAsgi(asgi, kind="wsgi").app is asgi  # type: ignore[arg-type]
    assert AsgiToWsgi(wsgi, kind="asgi3").app is wsgi  # type: ignore[arg-type]
    assert isinstance(as_asgi(asgi, "wsgi"), WsgiToAsgi)
    assert isinstance(as_wsgi(wsgi, kind="asgi3"), AsgiToWsgi)
