"""Of what kind an app is, told from its signature.

An app is never called to find out, and no error text is read: both call apps in ways that they
do not expect, and have wrapped good apps wrongly elsewhere. What counts is whether it is async,
how many positional arguments it takes, and what the first one is called:

=====================  ===========  ===============================================
first argument         takes        kind
=====================  ===========  ===============================================
``scope``              3            ``asgi3``
``scope``              1            ``asgi2``
``environ``, ``env``   2, not async ``wsgi``
``message``            1            ``asgi1``
``message``            2, async     ``asgi1``
any other name         3            ``asgi3``; no other kind takes three
any other name         2, not async ``wsgi``
``*args`` alone        any, async   ``asgi3``
=====================  ===========  ===============================================

All else is a `ConfigError` that asks for an explicit kind, which always wins.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, TypeAlias, cast, get_args

from bridge.asgi_versions import from_asgi1, from_asgi2
from bridge.errors import ConfigError
from bridge.types import ASGIApp, WSGIApp
from bridge.wsgi_to_asgi import WsgiToAsgi

Kind: TypeAlias = Literal["asgi3", "asgi2", "asgi1", "wsgi"]

KINDS: tuple[Kind, ...] = get_args(Kind)

#: Classes whose instances do not show their kind in their signature.
_KNOWN: dict[str, Kind] = {"webob.dec.wsgify": "wsgi"}

#: First arguments of callables that are no apps, though they take as many arguments as one.
_NO_APP = frozenset({"request", "req", "receive", "send", "start_response", "event"})


# ------------------------------------------------------------- what a user calls


def detect(app: object, remedy: str = 'kind="..." or --interface') -> Kind:
    """The kind of `app`, told without calling it.

    Raises `ConfigError` where that cannot be told for sure; `remedy` is how to say the kind there.
    """
    for hint, kind in _HINTS:
        if getattr(app, hint, False) is True:
            return kind
    for base in type(app).__mro__:
        known = _KNOWN.get(f"{base.__module__}.{base.__qualname__}")
        if known is not None:
            return known
    found = _kind_of_class(app) if inspect.isclass(app) else _kind_of_callable(app)
    if found is None:
        raise ConfigError(_unsure(app, remedy))
    return found


def other_kind(app: object, kind: str) -> Kind | None:
    """The kind that `app` plainly is, where that is not `kind`; None where there is no doubt."""
    try:
        seen = detect(app)
    except Exception:  # whatever the app does when it is looked at: its kind was said
        return None
    return None if seen == kind else seen


#: How asgiref marks apps whose signature misleads.
_HINTS: tuple[tuple[str, Kind], ...] = (
    ("_asgi_single_callable", "asgi3"),
    ("_asgi_double_callable", "asgi2"),
)


def check_kind(kind: str | None) -> Kind | None:
    """`kind` if it is one (None and ``auto``: None, to be detected), else `ConfigError`."""
    if kind is None or kind == "auto":
        return None
    for known in KINDS:
        if kind == known:
            return known
    raise ConfigError(f"kind is {kind!r}, and must be one of auto, {', '.join(KINDS)}")


def as_asgi(app: Any, kind: str | None = None, **settings: Any) -> ASGIApp:
    """`app`, of whatever kind, as an ASGI 3 app.

    An explicit `kind` (``asgi3``, ``asgi2``, ``asgi1``, ``wsgi``) wins over detection. A WSGI app
    is wrapped in `WsgiToAsgi` with `settings`; an app that `AsgiToWsgi` wraps is taken out again.
    Raises `ConfigError` where the kind cannot be told or is none.
    """
    # `AsgiToWsgi` and what it needs is for hosts that speak WSGI: no server of ASGI loads it here.
    loaded = sys.modules.get("bridge.asgi_to_wsgi")
    if kind is None and loaded is not None and isinstance(app, loaded.AsgiToWsgi):
        return cast("ASGIApp", app.app)
    wrap = _AS_ASGI[check_kind(kind) or detect(app)]
    return wrap(app, settings)


_AS_ASGI: dict[Kind, Callable[[Any, dict[str, Any]], ASGIApp]] = {
    "asgi3": lambda app, settings: cast("ASGIApp", app),
    "asgi2": lambda app, settings: from_asgi2(app),
    "asgi1": lambda app, settings: from_asgi1(app),
    "wsgi": lambda app, settings: WsgiToAsgi(app, **settings),
}


def as_wsgi(app: Any, kind: str | None = None, **settings: Any) -> WSGIApp:
    """`app`, of whatever kind, as a WSGI app.

    As `as_asgi`, the other way round: an ASGI app is wrapped in `AsgiToWsgi` with `settings`, and
    an app that `WsgiToAsgi` wraps is taken out again.
    """
    if kind is None and isinstance(app, WsgiToAsgi):
        return app.app
    known = check_kind(kind) or detect(app)
    if known == "wsgi":
        return cast("WSGIApp", app)
    from bridge.asgi_to_wsgi import AsgiToWsgi  # see `as_asgi`

    return AsgiToWsgi(as_asgi(app, known), **settings)


# ------------------------------------------------------------- how it is told


@dataclass(frozen=True)
class _Shape:
    """What a callable takes, and whether calling it gives an awaitable."""

    is_async: bool
    names: tuple[str, ...]
    required: int
    open: bool

    def takes(self, count: int) -> bool:
        """Whether a call with `count` positional arguments fits."""
        return self.required <= count and (count <= len(self.names) or self.open)

    def __str__(self) -> str:
        shown = [*self.names, *(["*args"] if self.open else [])]
        return f"{'async ' if self.is_async else ''}callable that takes ({', '.join(shown)})"


def _kind_of_callable(app: object) -> Kind | None:
    shape = _shape(app)
    if shape is None:
        return None
    if not shape.names:
        return "asgi3" if shape.open and shape.is_async else None
    first = shape.names[0].lstrip("_")
    by_name = _BY_NAME.get(first, _kind_by_count)
    return by_name(shape) if first not in _NO_APP else None


def _kind_by_count(shape: _Shape) -> Kind | None:
    if shape.required == 3 and shape.takes(3):
        return "asgi3"
    if shape.required == 2 and shape.takes(2) and not shape.is_async:
        return "wsgi"
    return None


def _kind_by_scope(shape: _Shape) -> Kind | None:
    if shape.takes(3):
        return "asgi3"
    return "asgi2" if shape.takes(1) and not shape.is_async else None


def _kind_by_environ(shape: _Shape) -> Kind | None:
    return "wsgi" if shape.takes(2) and not shape.is_async else None


def _kind_by_message(shape: _Shape) -> Kind | None:
    return "asgi1" if shape.takes(1) or (shape.takes(2) and shape.is_async) else None


_BY_NAME: dict[str, Callable[[_Shape], Kind | None]] = {
    "scope": _kind_by_scope,
    "environ": _kind_by_environ,
    "env": _kind_by_environ,
    "message": _kind_by_message,
}


def _kind_of_class(app: Any) -> Kind | None:
    """A class is an app where making an instance is the call: PEP 3333 and ASGI 2 both do that."""
    made = _shape(app)
    if made is None:
        return None
    if made.takes(3) and hasattr(app, "__await__"):
        return "asgi3"
    if made.takes(2) and hasattr(app, "__iter__"):
        return "wsgi"
    call = inspect.getattr_static(app, "__call__", None)
    if made.takes(1) and inspect.iscoroutinefunction(call):
        instance = _shape(call)
        return "asgi2" if instance is not None and instance.takes(3) else None  # self, too
    return None


def _shape(app: object) -> _Shape | None:
    """The shape of a callable; None where Python cannot tell."""
    if not callable(app):
        return None
    seen = _signature(app)
    if seen is None:
        return None
    shape = _shape_of(seen, _is_async(app))
    if not shape.names and shape.open and hasattr(app, "__wrapped__"):
        return _shape(app.__wrapped__)  # a decorator that passes everything on
    return shape


def _signature(app: Callable[..., Any]) -> inspect.Signature | None:
    """As `app` itself has it; an instance that hides it is asked through its class."""
    asked: Callable[..., Any]
    for asked in (app, functools.partial(type(app).__call__, app)):
        try:
            return inspect.signature(asked, follow_wrapped=False)
        except (TypeError, ValueError):
            continue
    return None


def _shape_of(signature: inspect.Signature, is_async: bool) -> _Shape:
    kinds = inspect.Parameter
    names, required, is_open = [], 0, False
    for parameter in signature.parameters.values():
        if parameter.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD):
            names.append(parameter.name)
            required += parameter.default is kinds.empty
        elif parameter.kind is kinds.VAR_POSITIONAL:
            is_open = True
        elif parameter.kind is kinds.KEYWORD_ONLY and parameter.default is kinds.empty:
            required = 99  # nobody passes it: not an app
    return _Shape(is_async, tuple(names), required, is_open)


def _is_async(app: Any) -> bool:
    """Whether calling `app` gives a coroutine, as far as the function behind it shows."""
    if inspect.iscoroutinefunction(app):
        return True
    call = getattr(type(app), "__call__", None)  # noqa: B004 - the type's, as a call finds it
    return inspect.iscoroutinefunction(call)


def _unsure(app: Any, remedy: str) -> str:
    asks = (
        "; apps are async (scope, receive, send) [asgi3], (scope) [asgi2], (message) [asgi1] or "
        f"(environ, start_response) [wsgi]: say which with {remedy}"
    )
    if isinstance(app, ModuleType):
        return f"{app.__name__} is a module, not an app: name the app in it, as module:attribute"
    if not callable(app):
        return f"{app!r} is no app: it is a {type(app).__name__}, and cannot be called"
    shape = _shape(app)
    if shape is not None and not shape.names and not shape.open:
        return f"{app!r} takes no arguments: if it makes the app, call it, or use --factory"
    seen = "its signature cannot be read" if shape is None else f"it is a {shape}"
    if inspect.isclass(app):
        seen = "it is a class whose instances may be apps: make one, or use --factory"
    return f"cannot tell what kind of app {app!r} is: {seen}{asks}"
