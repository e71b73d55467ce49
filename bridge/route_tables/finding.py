"""Find the routes of an app: the framework that has them may be inside of wrappers (M50).

Nothing is imported for that: an app of a framework can only exist if its framework is loaded, so
classes are told by their names. Nothing of the app is called. An app whose routes are not found
becomes a table without entries that says so.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import FunctionType, MethodType, ModuleType
from typing import Any, TypeAlias

from bridge.route_tables import django, flask, ours, starlette, werkzeug
from bridge.route_tables.classes import is_a
from bridge.route_tables.route import AppTable, unread_table
from bridge.route_tables.views import view_of

#: How deep apps may be mounted in apps, and wrapped in wrappers.
_DEEPEST = 24
#: The most objects that are looked at for one app.
_MOST = 200

#: Attributes in which wrappers usually keep their app.
_WRAPPED_IN = (
    *("wsgi_app", "asgi_app", "app", "application", "inner", "wrapped", "wsgi", "asgi"),
    *("_app", "_application", "_wsgi_app", "_asgi_app", "_wrapped", "wsgi_application"),
    *("asgi_application", "other_asgi_app", "__wrapped__"),
)

UNREAD = "its routes cannot be read"
_TOO_DEEP = "its routes are not read: it is mounted in itself, or too deep"

Reader: TypeAlias = Callable[[Any, "Finder"], AppTable]

#: Classes of apps -> how their routes are read.
_READERS: tuple[tuple[tuple[str, ...], Reader], ...] = (
    (flask.APPS, flask.read),
    (werkzeug.APPS, werkzeug.read_dispatcher),
    (django.STATIC, django.read_static),  # before the others: it is one of them, too
    (django.APPS, django.read),
    (django.PROTOCOLS, django.read_protocols),
    (django.URL_ROUTERS, django.read_url_router),
    (starlette.APPS, starlette.read),
    (starlette.FILES, starlette.read_files),
    (ours.DISPATCHERS, ours.read_dispatcher),
    (ours.FALLBACKS, ours.read_fallback),
    (ours.CUTOVERS, ours.read_cutover),
)


def read_table(app: Any, name: str = "", name_of: Callable[[Any], str] | None = None) -> AppTable:
    """Return the routes of `app`, which errors and tables call `name`.

    `name_of`: returns what another app is called that is mounted in it, ``""`` if it has no name.
    """
    return Finder(name_of or (lambda _: "")).table(app, name)


class Finder:
    """Reads apps, and apps within apps; remembers which ones it is reading."""

    def __init__(self, name_of: Callable[[Any], str]) -> None:
        self._name_of = name_of
        self._reading: list[int] = []
        #: What the app is called that is read now.
        self.name = ""

    def table(self, app: Any, name: str = "") -> AppTable:
        """Return the routes of `app`."""
        name = name or self._name_of(app)
        reason = UNREAD
        try:
            found = self.inner(app, name)
        except Exception as error:  # of the app, or a framework that is not as we know it
            found, reason = None, f"{UNREAD}: {type(error).__name__}: {error}"
        return found or unread_table(name or _described(app), reason, view_of(app))

    def inner(self, app: Any, name: str = "") -> AppTable | None:
        """Return the routes of the first app that is found in `app`, the nearest first, or None."""
        queue, seen = [app], {id(app)}
        for looked_at in queue:
            reader = _reader_for(looked_at)
            if reader is not None:
                return self._read(reader, looked_at, name)
            inside = [each for each in _wrapped(looked_at) if id(each) not in seen]
            seen.update(map(id, inside))
            queue.extend(inside[: _MOST - len(queue)])
        return None

    def reads_again(self, app: Any) -> bool:
        """Whether a wrapper that `app` has around itself has led to it again."""
        return self._reading.count(id(app)) > 1

    def _read(self, reader: Reader, app: Any, name: str) -> AppTable:
        owner = app.__self__ if isinstance(app, MethodType) else app
        name = name or self._name_of(owner) or _described(owner)
        if self.reads_again(app) or len(self._reading) > _DEEPEST:
            return unread_table(name, _TOO_DEEP, view_of(app))
        self._reading.append(id(app))
        before, self.name = self.name, name
        try:
            return replace(reader(app, self), app=name)
        finally:
            self.name = before
            self._reading.pop()


def _reader_for(app: Any) -> Reader | None:
    if isinstance(app, MethodType) and is_a(app.__self__, *flask.APPS):
        return flask.read_method
    if inspect.isclass(app):
        return None
    return next((reader for classes, reader in _READERS if is_a(app, *classes)), None)


def _wrapped(app: Any) -> Iterator[Any]:
    """Yield what `app` may pass requests on to."""
    if isinstance(app, ModuleType) or inspect.isclass(app):
        return
    if isinstance(app, functools.partial):
        yield from (*app.args, *app.keywords.values(), app.func)
    elif isinstance(app, MethodType):
        yield app.__self__
        yield from _held(app.__func__)
    elif isinstance(app, FunctionType):
        yield from _held(app)
    for name in _WRAPPED_IN:
        value = _attribute(app, name)
        if callable(value):
            yield value


def _held(function: Any) -> Iterator[Any]:
    """Yield what can be called in the closure of a function: a decorator keeps the app there."""
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:  # not filled yet
            continue
        if callable(value):
            yield value


def _attribute(app: Any, name: str) -> Any:
    """Return an attribute that is there without ``__getattr__`` and properties."""
    found = inspect.getattr_static(app, name, None)
    if found is None or isinstance(found, property | functools.cached_property):
        return None
    try:
        return getattr(app, name)
    except Exception:  # a descriptor of the app's
        return None


def _described(app: Any) -> str:
    """Return what to call an app without a name."""
    name = getattr(app, "import_name", None) if is_a(app, *flask.APPS) else None
    if isinstance(name, str):
        return f"{type(app).__name__} {name!r}"
    if is_a(app, *django.APPS):
        return django.project_name()
    shown = view_of(app).name
    return shown or type(app).__name__
