"""What kind of app it is, and why (M51)."""

from __future__ import annotations

import functools
from typing import Any

import flask
import webob.dec

from bridge.check.kind import why
from tests.support.apps.awkward.asgi import good as asgi_app
from tests.support.apps.awkward.pep3333 import after_the_end, good


class Middleware:
    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, *args: Any) -> Any:
        return self.app(*args)


def decorator(app: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        return app(*args, **kwargs)

    return call


def test_by_a_signature() -> None:
    """M51: of a function, or of the `__call__` that a call runs."""
    assert why(good, "wsgi") == "good() is a callable that takes (environ, start_response)"
    assert why(asgi_app, "asgi3") == "good() is an async callable that takes (scope, receive, send)"
    assert why(flask.Flask("x"), "wsgi") == (
        "the __call__ of Flask is a callable that takes (environ, start_response)"
    )
    assert why(after_the_end, "wsgi") == "after_the_end is a class whose instances answer"


def test_by_what_is_inside() -> None:
    """M51: the attribute, the closure or the wrapped callable that has decided is named."""
    inside = "good() is a callable that takes (environ, start_response)"
    assert why(Middleware(good), "wsgi") == (
        f"Middleware passes its calls on (by its attribute app); {inside}"
    )
    assert why(decorator(good), "wsgi").endswith(f"passes its calls on (in its closure); {inside}")
    wrapped = functools.wraps(good)(decorator(good))
    assert why(wrapped, "wsgi") == f"good passes its calls on (it wraps a callable); {inside}"


def test_by_a_mark_or_a_known_class() -> None:
    """M51: that of asgiref; WebOb's wsgify, whose signature says nothing."""

    class Marked:
        _asgi_single_callable = True

        def __call__(self, *args: Any) -> None: ...

    assert why(Marked(), "asgi3") == "asgiref has marked it: _asgi_single_callable is set"
    assert why(webob.dec.wsgify(lambda request: None), "wsgi") == "it is a wsgify of WebOb"


def test_by_being_async() -> None:
    """M51: whatever an async callable takes that takes anything."""

    async def anything(*args: Any) -> None: ...

    assert why(anything, "asgi3").endswith("and async")
