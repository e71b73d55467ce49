"""Libraries that wait in C, or patch threads, and pools of connections."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, Final

from bridge.check.findings import Findings
from bridge.check.places import place_of_name, tree_of
from bridge.loops.watchdog.stack import Place

#: Drivers that wait in C, by module. (SQLite is noted when a connection is opened.)
C_DRIVERS: Final = {
    "MySQLdb": "mysqlclient",
    "_mysql_connector": "mysql-connector with its C extension",
    "pyodbc": "pyodbc",
    "pymssql": "pymssql",
    "cx_Oracle": "cx_Oracle",
    "ibm_db": "ibm_db",
    "pylibmc": "pylibmc",
}

_CALLS: Final = {"gevent": ("monkey.patch_all()", "patch_all"), "eventlet": ("monkey_patch()",) * 2}


def look_at_drivers(findings: Findings) -> None:
    """Note drivers that are loaded."""
    for module, name in C_DRIVERS.items():
        if module in sys.modules:
            findings.add("c-driver", library=name)
    if "psycopg2.extensions" in sys.modules:
        findings.add("psycopg2")


# ------------------------------------------------------------- gevent and eventlet


def patched_by() -> str | None:
    """Return the name of the library that has replaced threads; None if none has."""
    monkey: Any = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_anything_patched():
        return "gevent"
    patcher: Any = sys.modules.get("eventlet.patcher")
    return "eventlet" if patcher is not None and patcher.already_patched else None


def look_at_patching(library: str, modules: Sequence[ModuleType], findings: Findings) -> None:
    """Note who has patched, with the place of the call if one of `modules` has it."""
    call, name = _CALLS[library][0], _CALLS[library][1].partition("(")[0]
    places = [place for module in modules for place in _calls(module, name)]
    findings.add("gevent", places[0] if places else None, library=library, call=call)


def _calls(module: ModuleType, name: str) -> Iterator[Place]:
    file = getattr(module, "__file__", None) or ""
    tree = tree_of(file)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Call):
            function = node.func
            called = getattr(function, "attr", None) or getattr(function, "id", None)
            if called == name:
                yield Place(file, node.lineno, "")


# ------------------------------------------------------------- SQLAlchemy


def look_at_pools(modules: Sequence[ModuleType], threads: int, findings: Findings) -> None:
    """Note pools of SQLAlchemy that are smaller than the number of threads."""
    for module in modules:
        for name, value in list(vars(module).items()):
            for engine in _engines(value):
                most = _most(engine)
                if most is not None and most < threads:
                    place = place_of_name(module, name)
                    findings.add("sqlalchemy-pool", place, most=most, threads=threads)


def _engines(value: Any) -> Iterator[Any]:
    """Yield the engine that `value` is, or those that it has as Flask's extension."""
    kind = type(value)
    if kind.__module__.startswith("sqlalchemy.") and kind.__name__ == "Engine":
        yield value
    elif kind.__module__.startswith("flask_sqlalchemy"):
        for engines in list(getattr(value, "_app_engines", {}).values()):
            yield from engines.values()


def _most(engine: Any) -> int | None:
    """Return how many connections an engine gives at once; None: any number."""
    pool = engine.pool
    overflow = getattr(pool, "_max_overflow", -1)
    if type(pool).__name__ != "QueuePool" or overflow < 0:
        return None
    return int(pool.size() + overflow)
