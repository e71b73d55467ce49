"""Where a view is written, and whether it is async. No view is called (M50).

A decorator is looked through by `__wrapped__`, a partial by its function, and what Django's and
Flask's `as_view` return by its class.
"""

from __future__ import annotations

import functools
import inspect
import linecache
import sys
from collections.abc import Iterator
from types import CodeType, MethodType
from typing import Any

from bridge.route_tables.route import View

#: The most wrappers, one inside another, that are looked through.
_DEEPEST = 32
#: Attributes in which `as_view` of Django, Django REST framework and Flask keeps the class, and
#: `as_asgi` of Channels.
_CLASSES = ("view_class", "cls", "consumer_class")


def view_of(view: Any, *, is_async: bool | None = None) -> View:
    """Return what is known of `view`; `is_async` if the framework knows better."""
    try:
        shown = _innermost(view)
        file, line = _place(shown)
        is_async = is_coroutine(view) if is_async is None else is_async
        return View(_name(shown), file, line, is_async)
    except Exception:  # it raises when it is looked at, as Flask's `current_app` without an app
        return View(_name(type(view)), is_async=is_async)


def is_coroutine(view: Any) -> bool:
    """Whether a call of `view` has to be awaited, as frameworks ask it: wrappers count."""
    marked = getattr(view, "view_is_async", None)  # of a class-based view of Django's
    if isinstance(marked, bool):
        return marked
    for _ in range(_DEEPEST):
        if not isinstance(view, functools.partial):
            break
        view = view.func
    return any(_is_coroutine_function(each) for each in (view, _call_of(view)))


def _is_coroutine_function(view: Any) -> bool:
    if inspect.iscoroutinefunction(view):
        return True
    # Django marks functions by asgiref, which on Python 3.11 has a mark of its own.
    ask = getattr(sys.modules.get("asgiref.sync"), "iscoroutinefunction", None)
    return ask is not None and bool(ask(view))


def _call_of(view: Any) -> Any:
    """Return the ``__call__`` of an instance; None for functions and classes."""
    if inspect.isroutine(view) or inspect.isclass(view):
        return None
    return inspect.getattr_static(type(view), "__call__", None)


def is_coroutine_class(view_class: Any, methods: tuple[str, ...]) -> bool:
    """Whether a class with a method for each HTTP method has async ones."""
    handlers = [getattr(view_class, method.lower(), None) for method in methods]
    return any(inspect.iscoroutinefunction(handler) for handler in handlers)


# ------------------------------------------------------------- what was written by hand


def _innermost(view: Any) -> Any:
    """Return the function or class that wrappers are around."""
    seen: set[int] = set()
    while id(view) not in seen and len(seen) < _DEEPEST:
        seen.add(id(view))
        view = next(_inner(view), view)
    return view


def _inner(view: Any) -> Iterator[Any]:
    attributes = _attributes(view)
    for name in _CLASSES:
        if inspect.isclass(attributes.get(name)):
            yield attributes[name]
    if isinstance(view, functools.partial):
        yield view.func
    if callable(attributes.get("func")) and not inspect.isclass(view):  # WebOb's `wsgify`
        yield attributes["func"]
    if isinstance(view, MethodType):
        yield view.__func__
    if not inspect.isclass(view) and callable(attributes.get("__wrapped__")):
        yield attributes["__wrapped__"]


def _attributes(view: Any) -> dict[str, Any]:
    try:
        return dict(vars(view))
    except TypeError:
        return {}


def _name(view: Any) -> str:
    """Return ``module.function``, or ``module.Class`` for an instance."""
    named = view if isinstance(getattr(view, "__qualname__", None), str) else type(view)
    module = getattr(named, "__module__", None) or getattr(named, "__objclass__", None)
    module = module if isinstance(module, str) else getattr(module, "__module__", "")
    name = named.__qualname__.replace("<locals>.", "")
    return f"{module}.{name}" if module not in ("", "builtins", None) else name


def _place(view: Any) -> tuple[str | None, int | None]:
    """Return file and line; None of what has none, such as a function written in C."""
    code = getattr(view, "__code__", None) or getattr(_call_of(view), "__code__", None)
    if isinstance(code, CodeType):
        return code.co_filename, _line_of_def(code)
    shown = view if inspect.isclass(view) else type(view)
    if inspect.isroutine(view) or shown.__module__ == "builtins":
        return None, None
    try:
        return inspect.getsourcefile(shown), inspect.getsourcelines(shown)[1]
    except (OSError, TypeError, IndexError):
        return None, None


def _line_of_def(code: CodeType) -> int:
    """Return the line with ``def``: code begins at its first decorator."""
    for line in range(code.co_firstlineno, code.co_firstlineno + 50):
        text = linecache.getline(code.co_filename, line).lstrip()
        if text.startswith(("def ", "async def ", "class ")) or "lambda" in text:
            return line
    return code.co_firstlineno
