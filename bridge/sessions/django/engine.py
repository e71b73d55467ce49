"""The engine that keeps a project's sessions: found, made a dict, and called in threads (M40).

Django's own engines have async methods, but what a project has overridden is mostly the others,
which the old app uses. So the others are called, in a thread, unless an engine has async ones of
its own. That holds for what the new app calls, too: ``await session.acycle_key()``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, MutableMapping
from importlib import import_module
from typing import Any

import django
from asgiref.sync import sync_to_async
from django.apps import apps
from django.conf import settings
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookies
from django.core.exceptions import ImproperlyConfigured
from django.db import close_old_connections

from bridge.errors import ConfigError


def with_connections(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function with connections to databases that work, and leave none behind too long."""
    close_old_connections()
    try:
        return function(*args)
    finally:
        close_old_connections()


def find_engine() -> Any:
    """Return the class of the project's sessions. Raises `ConfigError`."""
    try:
        if not apps.ready:
            django.setup(set_prefix=False)
        if not settings.SECRET_KEY:
            raise ImproperlyConfigured("SECRET_KEY is empty")
        store = import_module(settings.SESSION_ENGINE).SessionStore
        if hasattr(store, "get_model_class"):
            store.get_model_class()
    except (ImproperlyConfigured, ImportError, AttributeError, RuntimeError) as error:
        raise ConfigError(
            f"DjangoSession cannot use the project's settings: {error}; set DJANGO_SETTINGS_MODULE "
            "as wsgi.py does, and SECRET_KEY, SESSION_ENGINE and INSTALLED_APPS as in Django"
        ) from error
    return store


def never_waits(session: Any) -> bool:
    """Whether a session is kept in the cookie itself, by Django's own engine for that."""
    return type(session).__bases__[-1] is SignedCookies


@functools.cache
def own_method(engine: Any, name: str) -> str:
    """Return which method the project itself has for this: `name`, ``aname``, or ``""``."""
    for base in engine.__mro__:
        if base is not _Extras and (name in vars(base) or f"a{name}" in vars(base)):
            if base.__module__.startswith("django."):
                return ""
            return f"a{name}" if f"a{name}" in vars(base) else name
    return ""


def has_own_async(engine: Any, name: str) -> bool:
    """Whether an engine has an async method of its own, beside or below the synchronous one."""
    return own_method(engine, name) == f"a{name}"


class _Extras:
    """What a dict has and Django's sessions have not, and whether a late change was saved."""

    _session: dict[str, Any]
    #: The request's; an engine may make sessions that have none.
    _visit: Any = None
    modified: bool
    #: Whether a new key would be of no use, since it cannot be sent.
    keeps_key = False

    def __iter__(self) -> Iterator[str]:
        return iter(self._session)

    def __len__(self) -> int:
        return len(self._session)

    def __ior__(self, other: Any) -> Any:
        self.update(other)
        return self

    def update(self, *args: Any, **values: Any) -> None:
        """Put values into it; Django's own takes a dict only."""
        super().update(dict(*args, **values))  # type: ignore[misc]

    def copy(self) -> dict[str, Any]:
        """Return a plain dict of it."""
        return dict(self._session)

    def popitem(self) -> tuple[str, Any]:
        """Take the last value out of it."""
        self.modified = True
        return self._session.popitem()

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save it now; no cookie is sent for that."""
        super().save(*args, **kwargs)  # type: ignore[misc]
        self._saved()

    def cycle_key(self) -> None:
        """Have a new key, with the same values."""
        if not self.keeps_key:
            super().cycle_key()  # type: ignore[misc]

    async def asave(self, *args: Any, **kwargs: Any) -> None:
        """Save it now, in async code."""
        await self._call("save", super(), args, kwargs)
        self._saved()

    async def adelete(self, *args: Any, **kwargs: Any) -> None:
        """Delete it from the store, in async code."""
        await self._call("delete", super(), args, kwargs)

    async def aexists(self, *args: Any, **kwargs: Any) -> Any:
        """Look whether the store has a key, in async code."""
        return await self._call("exists", super(), args, kwargs)

    async def acreate(self) -> None:
        """Have a new key, and save it, in async code."""
        await self._call_all("create", super())

    async def aflush(self) -> None:
        """Delete it, and begin anew, in async code."""
        await self._call_all("flush", super())

    async def acycle_key(self) -> None:
        """Have a new key, with the same values, in async code."""
        await self._call_all("cycle_key", super())

    async def _call(self, name: str, engine: Any, args: Any, kwargs: Any) -> Any:
        """Call what reads or writes the store: the project's own, or else the synchronous one."""
        own: Any = type(self)
        if has_own_async(own, name):
            return await getattr(engine, f"a{name}")(*args, **kwargs)
        call = functools.partial(getattr(engine, name), *args, **kwargs)
        return call() if never_waits(self) else await self._in_thread(call)

    async def _call_all(self, name: str, engine: Any) -> None:
        """Call what is made of several such calls; Django's own async one makes them by ours."""
        own: Any = type(self)
        if own_method(own, name) == name:
            await self._in_thread(getattr(engine, name))
        else:
            await getattr(engine, f"a{name}")()

    async def _in_thread(self, call: Callable[[], Any]) -> Any:
        visit = self._visit
        in_thread = sync_to_async(with_connections) if visit is None else visit.in_thread
        return await in_thread(call)

    def _saved(self) -> None:
        if self._visit is not None and self._visit.opened and not never_waits(self):
            self.modified = False


@functools.cache
def session_class(engine: Any) -> Any:
    """Return the engine's class with what else a dict has.

    It has the same name: Django makes the salt of its signatures from it.
    """
    names = {"__module__": engine.__module__, "__qualname__": engine.__qualname__}
    made = type(engine.__name__, (_Extras, engine), names)
    MutableMapping.register(made)
    return made
