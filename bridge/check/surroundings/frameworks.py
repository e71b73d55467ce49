"""What frameworks show of an app: async views of Flask, middleware of Starlette and FastAPI."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any, Final

from bridge.arguments.kinds import WRAPPED_IN
from bridge.arguments.shapes import plain_attribute
from bridge.check.findings import Findings
from bridge.check.places import place_of

_DEEPEST: Final = 8
_MOST_NAMES: Final = 3


def look_at_frameworks(app: Any, findings: Findings) -> None:
    """Note what `app`, and the apps in its middleware, say of themselves."""
    flask: Any = sys.modules.get("flask")
    starlette: Any = sys.modules.get("starlette.applications")
    for each in _layers(app):
        if flask is not None and isinstance(each, flask.Flask):
            _look_at_flask(each, findings)
        elif starlette is not None and isinstance(each, starlette.Starlette):
            _look_at_starlette(each, findings)


def _layers(app: Any) -> Iterator[Any]:
    """Yield an app, and the ones that it keeps in attributes, from the outside."""
    seen: list[Any] = []
    for _ in range(_DEEPEST):
        seen.append(app)
        yield app
        values = (plain_attribute(app, name) for name in WRAPPED_IN)
        # A method is the app itself, as Flask's `wsgi_app` is.
        values = (getattr(each, "__self__", each) for each in values)
        app = next((each for each in values if callable(each) and each not in seen), None)
        if app is None:
            return


def _look_at_flask(app: Any, findings: Findings) -> None:
    views = {
        name: view
        for name, view in app.view_functions.items()
        if inspect.iscoroutinefunction(inspect.unwrap(view))
    }
    if views:
        names = ", ".join(list(views)[:_MOST_NAMES])
        more = len(views) - _MOST_NAMES
        place = place_of(next(iter(views.values())))
        findings.add("flask-async", place, names=names + (f" and {more} more" if more > 0 else ""))


def _look_at_starlette(app: Any, findings: Findings) -> None:
    base: Any = getattr(sys.modules.get("starlette.middleware.base"), "BaseHTTPMiddleware", None)
    for each in app.user_middleware:
        kind = each.cls
        if base is not None and inspect.isclass(kind) and issubclass(kind, base):
            function = each.kwargs.get("dispatch") or kind
            name = getattr(function, "__qualname__", kind.__qualname__)
            findings.add("base-http-middleware", place_of(function), name=name)
