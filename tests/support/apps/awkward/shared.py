"""A module that has a connection to SQLite from its import on, which serves one thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

database = sqlite3.connect(":memory:")


def counts(environ: Any, start_response: Any) -> Iterable[bytes]:
    row = database.execute("select 1").fetchone()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(row[0]).encode()]


def silent(environ: Any, start_response: Any) -> Iterable[bytes]:
    """Makes a 500 of its errors, and logs none."""
    try:
        return counts(environ, start_response)
    except sqlite3.Error:
        start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
        return [b"sorry"]


def broken(environ: Any, start_response: Any) -> Iterable[bytes]:
    database.execute("select * from nowhere")
    return []
