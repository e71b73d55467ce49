"""Connections to databases that the app's modules hold from their import on, for all threads.

One of SQLite serves only the thread that opened it, unless the app has said otherwise.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, Final

from bridge.check.findings import Findings
from bridge.check.places import place_of_name

_SQLITE: Final = "sqlite3.Connection"
#: Classes of connections, and of what holds one, of which each thread should have its own.
_CLASSES: Final = frozenset(
    {
        *(_SQLITE, "psycopg2.extensions.connection", "psycopg.Connection"),
        *("pymysql.connections.Connection", "MySQLdb.connections.Connection"),
        *("sqlalchemy.engine.base.Connection", "sqlalchemy.orm.session.Session"),
    }
)
#: What SQLite, `signal` and greenlet say if they are called in another thread than they want.
_BOUND: Final = (
    "can only be used in that same thread",
    "signal only works in main thread",
    "Cannot switch to a different thread",
)
_MOST_CAUSES: Final = 10


def is_thread_bound(error: BaseException | None) -> bool:
    """Whether an error, or a cause of it, tells that an object serves one thread only."""
    for _ in range(_MOST_CAUSES):
        if error is None:
            return False
        if any(each.lower() in str(error).lower() for each in _BOUND):
            return True
        error = error.__cause__ or error.__context__
    return False


def look_at_connections(modules: Sequence[ModuleType], findings: Findings) -> None:
    """Note open connections that `modules` hold, or what they hold has as an attribute.

    Call it in the thread that has imported them.
    """
    told: set[int] = set()
    for module in modules:
        for name, holder in list(vars(module).items()):
            for what, value in _held(name, holder):
                class_name = _class_of_connection(value)
                if class_name and id(value) not in told and _is_open(value, class_name):
                    told.add(id(value))
                    bound = class_name != _SQLITE or _refuses_others(value)
                    findings.add(
                        "shared-connection" if bound else "shared-transaction",
                        place_of_name(module, name),
                        what=f"{what} ({class_name.partition('.')[0]})",
                    )


def _held(name: str, holder: Any) -> Iterator[tuple[str, Any]]:
    yield name, holder
    if issubclass(type(holder), ModuleType | threading.local):
        return  # a module is looked at by itself, and the values of a thread are its own
    try:
        attributes = list(vars(holder).items())
    except Exception:  # it has none, or is a proxy of what is not there
        return
    for inner, value in attributes:
        yield f"{name}.{inner}", value


def _class_of_connection(value: Any) -> str:
    """Return the name of the class that makes `value` a connection; empty if it is none."""
    names = (f"{base.__module__}.{base.__qualname__}" for base in type(value).__mro__)
    return next((each for each in names if each in _CLASSES), "")


def _is_open(connection: Any, class_name: str) -> bool:
    try:
        if class_name == _SQLITE:
            return bool(connection.total_changes >= 0)
        return not getattr(connection, "closed", False)
    except Exception:  # that of SQLite raises if it is closed
        return False


def _refuses_others(connection: Any) -> bool:
    """Whether a connection of SQLite serves no other thread."""
    cursor = sys.modules["sqlite3"].Connection.cursor
    refused: list[BaseException] = []

    def use() -> None:
        try:
            cursor(connection)
        except Exception as error:
            refused.append(error)

    thread = threading.Thread(target=use, name="bridge-check-connection")
    thread.start()
    thread.join()
    return any(is_thread_bound(each) for each in refused)
