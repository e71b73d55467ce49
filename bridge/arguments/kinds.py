"""Detect the kind of an app (ASGI 3, ASGI 2, ASGI 1, WSGI) by its signature.

Apps are never called to find out: an app does not expect that, and other projects have wrapped good
apps wrongly after it. What counts is whether the app is async, how many positional arguments it
takes, and the name of the first one:

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

The signature is that of the function which a call runs, for example of a class's ``__call__``. If
it does not help (``*args``, or not readable), the kind is that of the callable that the app passes
the call on to: what a decorator wraps, the ``__call__`` of a base class, the app in an attribute or
in a closure.

A function that is named like a factory (``create_app``) is not taken for an app, unless its first
argument has one of the names above. If all this fails there is a `ConfigError` that asks for an
explicit kind. An explicit kind always wins.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType, MethodType, ModuleType
from typing import Any, Literal, TypeAlias, get_args

from bridge.arguments.shapes import (
    Shape,
    callee,
    closure_values,
    is_named_like_factory,
    plain_attribute,
    shape_of,
    wrapped_callables,
)
from bridge.errors import ConfigError, shown

Kind: TypeAlias = Literal["asgi3", "asgi2", "asgi1", "wsgi"]

KINDS: tuple[Kind, ...] = get_args(Kind)

#: Classes whose instances have a signature that does not show their kind.
_KNOWN: dict[str, Kind] = {"webob.dec.wsgify": "wsgi"}

#: First arguments of callables that are not apps, though they take as many arguments as an app.
_NO_APP = frozenset({"request", "req", "receive", "send", "start_response", "event"})

#: Attributes in which wrappers usually keep the wrapped app.
WRAPPED_IN = (
    *("wsgi_app", "asgi_app", "app", "application", "server", "wrapped", "wsgi", "asgi"),
    *("_app", "_wrapped", "_wsgi_app", "_asgi_app", "_application"),
)

#: The most wrappers, one inside another, that are looked into.
_DEEPEST = 8


# ------------------------------------------------------------- what a user calls


def detect(app: object, remedy: str = 'kind="..." or --interface') -> Kind:
    """Detect the kind of `app` without calling it.

    Raises `ConfigError` if the kind is not certain; `remedy` is how the user can give it.
    """
    found = _kind_of(app)
    if found is None:
        raise ConfigError(_unknown_kind_text(app, remedy))
    return found


def other_kind(app: object, kind: str) -> Kind | None:
    """Return the kind that `app` seems to be if it differs from `kind`; else None."""
    try:
        seen = _kind_of(app)
    except Exception:  # the app fails when it is inspected; its kind was given anyway
        return None
    return None if seen == kind else seen


def check_kind(kind: str | None) -> Kind | None:
    """Return a valid `kind`, or None for None and ``auto`` (detect it); else `ConfigError`."""
    if kind is None or kind == "auto":
        return None
    for known in KINDS:
        if kind == known:
            return known
    raise ConfigError(f"kind is {kind!r}, and must be one of auto, {', '.join(KINDS)}")


# ------------------------------------------------------------- detection

#: Attributes with which asgiref marks apps whose signature is misleading.
_HINTS: tuple[tuple[str, Kind], ...] = (
    ("_asgi_single_callable", "asgi3"),
    ("_asgi_double_callable", "asgi2"),
)


def _kind_of(app: object, depth: int = 0, *, sure: bool = False) -> Kind | None:
    """Return the kind, or None. `sure`: decide by the name of the first argument only."""
    for hint, kind in _HINTS:
        if getattr(app, hint, False) is True:
            return kind
    for base in type(app).__mro__:
        known = _KNOWN.get(f"{base.__module__}.{base.__qualname__}")
        if known is not None:
            return known
    if inspect.isclass(app):
        return None if sure else _kind_of_class(app)
    if depth > _DEEPEST or not callable(app):
        return None
    call = callee(app)
    if call is not app and not isinstance(call, FunctionType | MethodType):
        found = _kind_of(call, depth + 1, sure=sure)
        if found is not None:
            return found
    shape = shape_of(app)
    if shape is not None and (shape.names or not shape.open):
        return _kind_by_names(app, shape, sure)
    if shape is not None and shape.is_async and not sure and not is_named_like_factory(app):
        return "asgi3"
    for wrapped in wrapped_callables(app, call):
        found = _kind_of(wrapped, depth + 1, sure=sure)
        if found is not None:
            return found
    return None if shape is not None and shape.keywords else _kind_of_inner(app, call, depth)


def _kind_by_names(app: object, shape: Shape, sure: bool) -> Kind | None:
    if not shape.names:
        return None
    first = shape.names[0].lstrip("_")
    if sure:
        found = _BY_NAME[first](shape) if first in ("scope", "environ", "env") else None
        return found if found in ("asgi3", "wsgi") else None
    if first in _NO_APP or (first not in _BY_NAME and is_named_like_factory(app)):
        return None
    return _BY_NAME.get(first, _kind_by_count)(shape)


def _kind_by_count(shape: Shape) -> Kind | None:
    if shape.required == 3 and shape.takes(3):
        return "asgi3"
    if shape.required == 2 and shape.takes(2) and not shape.is_async:
        return "wsgi"
    return None


def _kind_by_scope(shape: Shape) -> Kind | None:
    if shape.takes(3):
        return "asgi3"
    return "asgi2" if shape.takes(1) and not shape.is_async else None


def _kind_by_environ(shape: Shape) -> Kind | None:
    return "wsgi" if shape.takes(2) and not shape.is_async else None


def _kind_by_message(shape: Shape) -> Kind | None:
    return "asgi1" if shape.takes(1) or (shape.takes(2) and shape.is_async) else None


_BY_NAME: dict[str, Callable[[Shape], Kind | None]] = {
    "scope": _kind_by_scope,
    "environ": _kind_by_environ,
    "env": _kind_by_environ,
    "message": _kind_by_message,
}


def _kind_of_class(app: Any) -> Kind | None:
    """Return the kind of a class that is an app: its instances answer (PEP 3333, ASGI 2)."""
    made = shape_of(app)
    if made is None:
        return None
    if made.takes(3) and hasattr(app, "__await__"):
        return "asgi3"
    if made.takes(2) and hasattr(app, "__iter__"):
        return "wsgi"
    call = inspect.getattr_static(app, "__call__", None)
    if made.takes(1) and inspect.iscoroutinefunction(call):
        instance = shape_of(call)
        return "asgi2" if instance is not None and instance.takes(3) else None  # self, too
    return None


# ------------------------------------------------------------- wrapped apps


def _kind_of_inner(app: object, call: object, depth: int) -> Kind | None:
    """Return the kind of the app in the closure of `call`, or in an attribute of `app`."""
    held = {_kind_of(each, depth + 1, sure=True) for each in closure_values(call)} - {None}
    if len(held) == 1:
        return held.pop()
    for name in WRAPPED_IN:
        found = _kind_of(plain_attribute(app, name), depth + 1, sure=True)
        if found is not None:
            return found
    return None


# ------------------------------------------------------------- error texts


def looks_like_factory(app: object) -> bool:
    """Whether `app`, whose kind is not known, is probably a factory of apps."""
    if inspect.isclass(app):
        return False
    shape = shape_of(app)
    return is_named_like_factory(app) or (
        shape is not None and not shape.required and (bool(shape.names) or not shape.open)
    )


def type_with_article(thing: object) -> str:
    """Return the type of `thing` with its article: ``an int``, ``a Flask``."""
    name = type(thing).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _unknown_kind_text(app: Any, remedy: str) -> str:
    asks = (
        "; apps are async (scope, receive, send) [asgi3], (scope) [asgi2], (message) [asgi1] or "
        f"(environ, start_response) [wsgi]: say which with {remedy}"
    )
    if isinstance(app, ModuleType):
        return f"{app.__name__} is a module, not an app: name the app in it, as module:attribute"
    if not callable(app):
        return f"{shown(app)} is no app: it is {type_with_article(app)}, and cannot be called"
    shape = shape_of(app)
    if looks_like_factory(app):
        return _factory_text(app, shape, remedy)
    if shape is not None and not shape.names and not shape.open:
        return f"{shown(app)} takes no arguments: if it makes the app, call it, or use --factory"
    seen = "its signature cannot be read" if shape is None else f"it is {shape}"
    if inspect.isclass(app):
        seen = "it is a class whose instances may be apps: make one, or use --factory"
    return f"cannot tell what kind of app {shown(app)} is: {seen}{asks}"


def _factory_text(app: Any, shape: Shape | None, remedy: str) -> str:
    name = getattr(app, "__name__", "")
    given = '"..."' if shape is not None and shape.required else ""
    is_global = name.isidentifier() and getattr(app, "__qualname__", "") == name
    place = f"{app.__module__}:{name}" if is_global else "module:function"
    call = f"{place}({given})"
    takes = (
        "takes no arguments" if shape is None or not (shape.names or shape.open) else f"is {shape}"
    )
    if shape is not None and shape.is_async:
        return (
            f"{shown(app)} {takes}, and looks like an async factory: make it a plain function "
            f"(what it awaits belongs in the app's lifespan), or say with {remedy} what kind of "
            "app it is"
        )
    flag = "" if given else "--factory, or "
    return (
        f"{shown(app)} {takes}, and looks like a factory: if it makes the app, call it; on the "
        f"command line, say {flag}{call}. If it is the app, say its kind with {remedy}"
    )
