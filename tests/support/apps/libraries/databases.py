"""Drivers of databases and object-relational mappers: they ask for an answer that comes late."""

from __future__ import annotations

import atexit
import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import psycopg2
import psycopg_pool
import pymysql
import pytest
import redis
import sqlalchemy
from sqlalchemy.orm import scoped_session, sessionmaker

_POSTGRES, _MARIADB = os.environ["POSTGRES"], urlsplit(os.environ["MARIADB"])
_pool = psycopg_pool.ConnectionPool(_POSTGRES, min_size=2, max_size=2, open=True)
atexit.register(_pool.close)
_redis = redis.Redis.from_url(os.environ["REDIS"])
_engine = sqlalchemy.create_engine(_POSTGRES.replace("postgresql:", "postgresql+psycopg:"))
_session = scoped_session(sessionmaker(_engine))
_SLEEP = "select 42, pg_sleep(%s)"


def _with_psycopg(seconds: float) -> None:
    with psycopg.connect(_POSTGRES) as connection:
        row = connection.execute(_SLEEP, (seconds,)).fetchone()
    assert row is not None
    assert row[0] == 42


def _with_psycopg_pool(seconds: float) -> None:
    with _pool.connection() as connection:
        row = connection.execute(_SLEEP, (seconds,)).fetchone()
    assert row is not None
    assert row[0] == 42


def _with_psycopg2(seconds: float) -> None:
    connection = psycopg2.connect(_POSTGRES)
    with connection.cursor() as cursor:
        cursor.execute(_SLEEP, (seconds,))
        assert cursor.fetchone()[0] == 42
    connection.close()


def _with_pymysql(seconds: float) -> None:
    host, port, user = _MARIADB.hostname, _MARIADB.port or 0, _MARIADB.username
    with (
        pymysql.connect(host=host, port=port, user=user) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("select 42, sleep(%s)", (seconds,))
        assert cursor.fetchone() == (42, 0)


def _with_sqlite3(seconds: float) -> None:
    """Another connection has the file locked."""
    connection = sqlite3.connect(_locked(), timeout=seconds)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        connection.execute("BEGIN IMMEDIATE")
    connection.close()


_lock = threading.Lock()


def _locked() -> str:
    with _lock:
        return _make_locked()


@cache
def _make_locked() -> str:
    folder = tempfile.TemporaryDirectory()
    path = str(Path(folder.name, "file"))
    holder = sqlite3.connect(path, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    _kept.extend((folder, holder))
    return path


_kept: list[object] = []


def _with_redis(seconds: float) -> None:
    assert _redis.blpop(["nothing"], timeout=seconds) is None


def _with_sqlalchemy(seconds: float) -> None:
    try:
        row = _session.execute(sqlalchemy.text("select 42, pg_sleep(:s)"), {"s": seconds}).one()
        assert row[0] == 42
    finally:
        _session.remove()


WAITS: dict[str, Callable[[float], None]] = {
    "psycopg": _with_psycopg,
    "psycopg_pool": _with_psycopg_pool,
    "psycopg2": _with_psycopg2,
    "pymysql": _with_pymysql,
    "sqlite3": _with_sqlite3,
    "redis-py": _with_redis,
    "SQLAlchemy": _with_sqlalchemy,
}
