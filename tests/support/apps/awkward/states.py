"""WSGI apps that keep something in their threads, and one that cleans up."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from typing import Any

current = threading.local()
tidy_local = threading.local()


class Closing(sqlite3.Connection):
    """Closes itself with its thread, as drivers do without a word."""

    def __del__(self) -> None:
        self.close()


class Pool:
    connections = threading.local()


def keeps(environ: Any, start_response: Any) -> Iterable[bytes]:
    current.user = environ.get("HTTP_X_USER", "nobody")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [current.user.encode()]


def connects(environ: Any, start_response: Any) -> Iterable[bytes]:
    if not hasattr(Pool.connections, "database"):
        Pool.connections.database = sqlite3.connect(
            ":memory:", check_same_thread=False, factory=Closing
        )
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"connected"]


def tidy(environ: Any, start_response: Any) -> Iterable[bytes]:
    tidy_local.user = environ.get("HTTP_X_USER", "nobody")
    try:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [tidy_local.user.encode()]
    finally:
        del tidy_local.user
