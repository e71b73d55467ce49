"""What a request leaves in its thread (M51)."""

from __future__ import annotations

import sys
import threading
from types import ModuleType
from typing import Any

from bridge.check.findings import Findings
from bridge.check.wsgi.state import ThreadState


class Local(threading.local):
    """Has a value in each thread from the beginning."""

    def __init__(self) -> None:
        self.stack: list[int] = []
        self.user = "nobody"


mine = Local()


def left(change: Any) -> list[str]:
    """What is found after `change`."""
    findings = Findings()
    state = ThreadState([sys.modules[__name__]], findings)
    state.before()
    change()
    state.after()
    return [each.text for each in findings]


def test_what_is_new_or_changed_is_left() -> None:
    """M51: what was there from the beginning is not, nor what is empty."""
    assert left(lambda: None) == []

    def set_empty() -> None:
        mine.cache = {}
        mine.user = None

    assert left(set_empty) == []

    def set_user() -> None:
        mine.user = "alice"

    assert left(set_user) == ["it leaves mine.user in a threading.local when a request is over"]
    del mine.cache
    mine.user = "nobody"


def test_connections_are_told_apart() -> None:
    """M51: what has a cursor, for example, is a connection, which many keep on purpose."""

    class Connection:
        def cursor(self) -> None: ...

    def connect() -> None:
        mine.connection = Connection()

    assert left(connect) == ["it keeps a connection in each thread: mine.connection"]
    del mine.connection


def test_sessions_of_sqlalchemy() -> None:
    """M51: one that is left open is told; after remove() there is none."""
    from sqlalchemy import create_engine
    from sqlalchemy.orm import scoped_session, sessionmaker

    module = ModuleType("shop")
    engine = create_engine("sqlite://")
    session = scoped_session(sessionmaker(engine))
    module.session = session  # type: ignore[attr-defined]
    findings = Findings()
    state = ThreadState([module], findings)
    state.before()
    session()
    session.remove()
    state.after()
    assert list(findings) == []
    session()
    state.after()
    assert [each.id for each in findings] == ["session-kept"]
    session.remove()
    engine.dispose()
