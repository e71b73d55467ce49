"""What counts as reading and as changing a session."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.sessions import SecureCookieSession

from bridge.sessions.tracked import Session

READS: list[Callable[[Any], Any]] = [
    lambda session: session["a"],
    lambda session: "a" in session,
    lambda session: list(session),
    lambda session: len(session),
    lambda session: bool(session),
    lambda session: session.get("b", 2),
    lambda session: list(session.keys()),
    lambda session: list(session.values()),
    lambda session: list(session.items()),
    lambda session: dict(session),
    lambda session: {**session},
    lambda session: json.dumps(session),
    lambda session: session.copy(),
    lambda session: session.permanent,
    lambda session: repr(session) != "",
    lambda session: str(session) != "",
    lambda session: session == {"a": 1},
    lambda session: session != {"a": 1},
    lambda session: [*reversed(session)],
    lambda session: session | {"b": 2},
    lambda session: {"b": 2} | session,
    lambda session: session.pop("b", 2),
    lambda session: session.setdefault("a", 2),
]

CHANGES: list[Callable[[Any], Any]] = [
    lambda session: session.__setitem__("b", 2),
    lambda session: session.__delitem__("a"),
    lambda session: session.clear(),
    lambda session: session.pop("a"),
    lambda session: session.popitem(),
    lambda session: session.setdefault("b", 2),
    lambda session: session.update({"b": 2}, c=3),
    lambda session: session.__ior__({"b": 2}),
    lambda session: setattr(session, "permanent", True),
]


def test_a_session_is_a_dict_that_nobody_has_touched() -> None:
    """M40: the old app's values are in it at the start; that is no change."""
    session = Session({"a": 1})
    assert isinstance(session, dict)
    assert not session.accessed
    assert not session.modified
    session.mark_accessed()
    assert session.accessed


@pytest.mark.parametrize("number", range(len(READS)))
def test_reading_is_noticed_and_is_no_change(number: int) -> None:
    """M40: every way to read it, also those that C code takes."""
    session, theirs = Session({"a": 1}), SecureCookieSession({"a": 1})
    assert READS[number](session) == READS[number](theirs)
    assert session.accessed
    assert not session.modified
    assert not theirs.modified


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_changes_are_noticed_as_flask_notices_them(number: int) -> None:
    """M40: the values and `modified` are what Flask's session has afterwards."""
    session, theirs = Session({"a": 1}), SecureCookieSession({"a": 1})
    CHANGES[number](session)
    CHANGES[number](theirs)
    assert session.accessed
    assert session.modified is theirs.modified is True
    assert session.copy() == dict(theirs)


def test_a_change_within_a_value_is_not_noticed_as_in_flask() -> None:
    """M40: the app says so then."""
    session = Session({"cart": []})
    session["cart"].append(1)
    assert not session.modified
    session.modified = True
    assert session.modified
