"""Inspect callables: which arguments they take, and which callables they wrap.

Calls are resolved as Python does it: methods are bound, slots and descriptors are called. If an
app raises while it is inspected, the answer is "unknown".
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any

#: Names of factories begin with the first, and end with the second of these.
FACTORY_PREFIXES = ("create_", "make_", "get_", "build_")
APP_ENDINGS = ("app", "application", "api", "asgi", "wsgi")


@dataclass(frozen=True)
class Shape:
    """The arguments that a callable takes, and whether it is async: coroutine or generator."""

    is_async: bool
    names: tuple[str, ...]
    required: int
    open: bool
    #: Whether it has keyword-only arguments, which a mere wrapper has not.
    keywords: bool

    def takes(self, count: int) -> bool:
        """Whether a call with `count` positional arguments fits."""
        return self.required <= count and (count <= len(self.names) or self.open)

    def __str__(self) -> str:
        shown = [*self.names, *(["*args"] if self.open else [])]
        article = "an async" if self.is_async else "a"
        return f"{article} callable that takes ({', '.join(shown)})"


def is_named_like_factory(app: object) -> bool:
    """Whether it is a function called ``create_app``, ``make_wsgi`` and the like."""
    name = getattr(app, "__name__", "") if isinstance(app, FunctionType | MethodType) else ""
    return name.startswith(FACTORY_PREFIXES) and name.endswith(APP_ENDINGS)


# ------------------------------------------------------------- the function that a call runs


def callee(app: Any) -> Any:
    """Return what calling `app` runs: itself if it is a function, else its class's ``__call__``.

    Slots and descriptors (WebOb's ``wsgify``) are resolved as in a real call; None if they raise.
    """
    if isinstance(app, FunctionType | MethodType | functools.partial | type):
        return app
    return next(_calls(app), None)


def _calls(app: Any) -> Iterator[Any]:
    """Yield the ``__call__`` of the class of `app` and of its bases, each bound to `app`."""
    for base in type(app).__mro__:
        call = vars(base).get("__call__")
        if call is None:
            continue
        bind = getattr(type(call), "__get__", None)
        try:
            yield call if bind is None else bind(call, app, type(app))
        except Exception:
            yield None


def shape_of(app: object) -> Shape | None:
    """Return the shape of a callable; None if Python cannot tell it."""
    if not callable(app):
        return None
    call = callee(app)
    for asked in (app, call):
        try:
            seen = inspect.signature(asked, follow_wrapped=False)
        except Exception:  # it has no signature, or the app raises when it is inspected
            continue
        is_async = any(map(inspect.iscoroutinefunction, (app, call))) or any(
            map(inspect.isasyncgenfunction, (app, call))
        )
        return _signature_shape(seen, is_async)
    return None


def _signature_shape(signature: inspect.Signature, is_async: bool) -> Shape:
    kinds = inspect.Parameter
    names, required, is_open, keywords = [], 0, False, False
    for parameter in signature.parameters.values():
        if parameter.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD):
            names.append(parameter.name)
            required += parameter.default is kinds.empty
        elif parameter.kind is kinds.VAR_POSITIONAL:
            is_open = True
        elif parameter.kind is kinds.KEYWORD_ONLY:
            keywords = True
            if parameter.default is kinds.empty:
                required = 99  # servers do not pass it: not an app
    return Shape(is_async, tuple(names), required, is_open, keywords)


# ------------------------------------------------------------- wrapped callables


def plain_attribute(thing: object, name: str) -> Any:
    """Return an attribute that exists without ``__getattr__``; None if not, or if it raises."""
    if inspect.getattr_static(thing, name, None) is None:
        return None
    try:
        return getattr(thing, name)
    except Exception:
        return None


def wrapped_callables(app: object, call: object) -> Iterator[object]:
    """Yield what `functools.wraps` marks as wrapped, what a partial calls, what bases run."""
    for each in (app, call):
        if isinstance(each, functools.partial):
            yield from each.args or (each.func,)
        if isinstance(each, MethodType):
            wrapped = plain_attribute(each.__func__, "__wrapped__")
            if wrapped is not None:
                yield MethodType(wrapped, each.__self__)
            if each.__self__ is not app:  # a proxy's
                yield each.__self__
        else:
            yield plain_attribute(each, "__wrapped__")
    if call is not app:
        overridden = _calls(app)
        next(overridden, None)
        yield from overridden


def closure_values(call: object) -> Iterator[object]:
    """Yield the values in a function's closure: a plain decorator keeps the app there."""
    function = getattr(call, "__func__", call)
    for cell in getattr(function, "__closure__", None) or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
