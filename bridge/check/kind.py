"""What kind of app it is, and why: which signature or attribute has decided (M51).

`arguments.kinds` decides; this goes the same way, and says what it found.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Final

from bridge.arguments.kinds import WRAPPED_IN, Kind, detect, type_with_article
from bridge.arguments.shapes import (
    callee,
    closure_values,
    plain_attribute,
    shape_of,
    wrapped_callables,
)
from bridge.errors import ConfigError

#: Kinds, for people.
NAMES: Final[dict[Kind, str]] = {
    "wsgi": "a WSGI app",
    "asgi3": "an ASGI app",
    "asgi2": "an ASGI 2 app",
    "asgi1": "an ASGI 1 consumer",
}
_MARKS: Final = ("_asgi_single_callable", "_asgi_double_callable")
_DEEPEST: Final = 8


def why(app: Any, kind: Kind, depth: int = 0) -> str:
    """Say what shows that `app` is of that kind."""
    for mark in _MARKS:
        if getattr(app, mark, False) is True:
            return f"asgiref has marked it: {mark} is set"
    name = _name(app)
    if type(app).__module__ == "webob.dec":
        return f"it is {type_with_article(app)} of WebOb"
    if inspect.isclass(app):
        return f"{name} is a class whose instances answer"
    shape = shape_of(app)
    if shape is not None and (shape.names or not shape.open):
        called = f"{name}() is" if inspect.isroutine(app) else f"the __call__ of {name} is"
        return f"{called} {shape}"
    for how, inner in _inside(app):
        if depth < _DEEPEST and _is(inner, kind):
            return f"{name} passes its calls on ({how}); {why(inner, kind, depth + 1)}"
    if shape is not None and shape.is_async:
        return f"{name} is {shape}, and async"
    return f"{name} is {type_with_article(app)}"


def _inside(app: Any) -> Iterator[tuple[str, Any]]:
    """Yield what `app` may pass its calls on to, and how that is known."""
    call = callee(app)
    for wrapped in wrapped_callables(app, call):
        if wrapped is not None and wrapped is not app:
            yield "it wraps a callable", wrapped
    for held in closure_values(call):
        yield "in its closure", held
    for attribute in WRAPPED_IN:
        value = plain_attribute(app, attribute)
        if value is not None:
            yield f"by its attribute {attribute}", value


def _is(thing: Any, kind: Kind) -> bool:
    try:
        return callable(thing) and detect(thing) == kind
    except ConfigError:
        return False


def _name(app: Any) -> str:
    named = app if hasattr(app, "__qualname__") else type(app)
    function = getattr(named, "__func__", named)
    return f"{getattr(function, '__qualname__', type(app).__qualname__)}"
