"""Engines of sessions: what they have from a dict, and which of their methods are called."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.sessions.backends import cache, db, file, signed_cookies
from django.db import connection
from django.test.utils import override_settings

from bridge.errors import ConfigError
from bridge.sessions.django.engine import (
    find_engine,
    has_own_async,
    never_waits,
    own_method,
    session_class,
    with_connections,
)
from tests.support.django_project import ENGINES


class Qualified(db.SessionStore):
    """An engine of a project: what it keeps is more than Django's."""

    def load(self) -> Any: ...


class WithClient(db.SessionStore):
    """An engine of a project with an async client."""

    async def aload(self) -> Any: ...


class BelowIt(WithClient):
    """One that overrides the synchronous method of another."""

    def load(self) -> Any: ...


def test_a_session_has_all_that_a_dict_has() -> None:
    """M40: Django's sessions have no length, and cannot be iterated; changes are noticed."""
    session = session_class(db.SessionStore)()
    session._visit = SimpleNamespace(opened=False)
    assert isinstance(session, MutableMapping)
    assert not session.modified
    session.update({"a": 1}, b=2)
    assert session.modified
    assert (len(session), list(session), dict(session)) == (2, ["a", "b"], {"a": 1, "b": 2})
    session.modified = False
    session |= {"c": 3}
    assert session.modified
    session.modified = False
    assert session.popitem() == ("c", 3)
    assert session.modified
    assert session.copy() == {**session} == {"a": 1, "b": 2}
    assert "a" in session


@pytest.mark.parametrize("engine", [db, cache, file, signed_cookies])
def test_the_class_is_the_project_s_own(engine: Any) -> None:
    """M40: of the same name, since Django makes a salt from that; and it is made once."""
    made = session_class(engine.SessionStore)
    assert made is session_class(engine.SessionStore)
    assert issubclass(made, engine.SessionStore)
    assert made.__qualname__ == engine.SessionStore.__qualname__
    assert never_waits(made()) is (engine is signed_cookies)


def test_the_methods_that_a_project_wrote_are_called() -> None:
    """M40: Django's own async methods would pass by what a project has overridden."""
    expected = {db.SessionStore: False, Qualified: False, WithClient: True, BelowIt: False}
    assert {each: has_own_async(session_class(each), "load") for each in expected} == expected
    assert not has_own_async(session_class(WithClient), "save")
    assert not has_own_async(session_class(WithClient), "nothing")
    assert own_method(session_class(BelowIt), "load") == "load"


class Recording(db.SessionStore):
    """An engine of a project that notes what is asked of the store, in synchronous methods."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self.calls: list[str] = []

    def save(self, must_create: bool = False) -> None:
        self.calls.append("save")
        super().save(must_create)

    def delete(self, session_key: str | None = None) -> None:
        self.calls.append("delete")
        super().delete(session_key)

    def exists(self, session_key: str) -> bool:
        self.calls.append("exists")
        return bool(super().exists(session_key))


class Flushing(Recording):
    """One that has a `flush` of its own."""

    def flush(self) -> None:
        self.calls.append("flush")
        super().flush()


class Client(Recording):
    """One with an async client for a part."""

    async def adelete(self, session_key: str | None = None) -> None:
        self.calls.append("adelete")
        await super().adelete(session_key)


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        (Recording, ["exists save", "save", "exists save delete", "delete"]),
        (Flushing, ["exists save", "save", "exists save delete", "flush delete"]),
        (Client, ["exists save", "save", "exists save adelete", "adelete"]),
    ],
)
def test_async_methods_go_by_the_project_s_own(engine: Any, expected: list[str]) -> None:
    """M40: what the new app awaits is what the old app calls, in a thread."""

    async def use() -> list[str]:
        session, found = session_class(engine)(), []  # an engine may make one without a request
        for name in ("acreate", "asave", "acycle_key", "aflush"):
            await getattr(session, name)()
            found.append(" ".join(session.calls))
            session.calls.clear()
        return found

    assert asyncio.run(use()) == expected


def test_async_methods_of_cookies() -> None:
    """M40: what is kept in the cookie itself needs no thread."""

    async def use() -> Any:
        session = session_class(signed_cookies.SessionStore)()
        session["a"] = 1
        await session.asave()
        await session.acycle_key()
        await session.aflush()
        return session

    assert asyncio.run(use()).is_empty()


def test_the_engine_is_that_of_the_settings() -> None:
    """M40: or the error says what Django has against it."""
    assert find_engine() is db.SessionStore
    with override_settings(SESSION_ENGINE=ENGINES + "cache"):
        assert find_engine() is cache.SessionStore
    with (
        override_settings(SESSION_ENGINE="no.such"),
        pytest.raises(ConfigError, match="No module named 'no'"),
    ):
        find_engine()


def test_connections_are_looked_after() -> None:
    """M40: one is given back when it is no longer to be used, also after an error."""
    assert with_connections(lambda: connection.ensure_connection() or connection.connection)
    assert connection.connection is None

    def fails() -> None:
        connection.ensure_connection()
        raise ValueError

    with pytest.raises(ValueError):
        with_connections(fails)
    assert connection.connection is None
