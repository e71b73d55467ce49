"""Connections that all threads share, and requests that fail for it (M51)."""

from __future__ import annotations

import sqlite3
import threading
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from bridge.check.findings import Findings
from bridge.check.wsgi.shared import is_thread_bound, look_at_connections
from tests.support.checking import at, checked, ids, the


def found(**held: Any) -> set[tuple[str, str]]:
    """Id and text of what is found in a module that holds these."""
    module = ModuleType("shop")
    vars(module).update(held)
    findings = Findings()
    look_at_connections([module], findings)
    return {(each.id, each.text.rpartition(": ")[2]) for each in findings}


def test_open_connections_of_modules_are_told() -> None:
    """M51: also in an attribute; not those of one thread, of pools, or that are closed."""
    bound = sqlite3.connect(":memory:")
    free = sqlite3.connect(":memory:", check_same_thread=False)
    closed = sqlite3.connect(":memory:")
    closed.close()
    local = threading.local()
    local.database = bound
    engine = create_engine("sqlite://")
    assert found(db=bound, again=bound) == {("shared-connection", "db (sqlite3)")}
    assert found(db=free) == {("shared-transaction", "db (sqlite3)")}
    store = type("Store", (), {})()
    store.db = bound
    assert found(store=store) == {("shared-connection", "store.db (sqlite3)")}
    assert found(closed=closed, local=local, engine=engine, sqlite3=sqlite3) == set()
    assert found(session=Session(engine)) == {("shared-connection", "session (sqlalchemy)")}
    for each in (bound, free):
        each.close()


def test_errors_of_one_thread_are_known() -> None:
    """M51: also behind another error."""
    inner = sqlite3.ProgrammingError("SQLite objects ... can only be used in that same thread.")
    outer = ValueError("x")
    outer.__cause__ = inner
    assert is_thread_bound(outer)
    assert not is_thread_bound(ValueError("x"))
    assert not is_thread_bound(None)


@pytest.mark.parametrize("target", ["shared:counts", "shared:silent"])
def test_what_fails_in_threads_is_tried_in_the_importing_thread(target: str) -> None:
    """M51: inline will do then, threads will not, and the last line says so."""
    report = checked(target)
    assert ids(report) == {"shared-connection", "thread-bound"}
    said = {each.way: str(each) for each in report.apps[0].verdicts}
    assert said["thread"] == "will not do: thread-bound"
    assert said["inline"] == "nothing seen against it"
    assert said["WSGI servers"].startswith("with care: ")
    assert the(report, "shared-connection").places[0].line == 9
    assert report.advice.command == f"asgi-bridge serve {target} --runner inline --workers 4"
    assert "errors" not in report.advice.why
    if target == "shared:counts":
        assert at(the(report, "thread-bound")) == "counts"


def test_what_fails_there_too_is_the_error() -> None:
    """M51: of the request itself; no way to serve is better then."""
    report = checked("shared:broken")
    assert ids(report) == {"shared-connection", "raises"}
    assert "no such table" in the(report, "raises").text
