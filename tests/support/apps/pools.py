"""Connections to a database that are kept: ``/KEEPER/NUMBER`` answers which one the request had.

It has the connection for itself from its first query to its last, and waits in between. The
database is ``POSTGRES``; no pool has more than `MOST` connections.
"""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import django
import psycopg_pool
import sqlalchemy
from django.conf import settings
from django.core.signals import request_finished, request_started
from django.db import connections, transaction

URL = sqlalchemy.make_url(os.environ["POSTGRES"])
MOST = 4
#: Seconds that a request waits for a connection at most.
PATIENCE = 60
Execute = Callable[[str], Any]

_database = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": URL.database,
    "USER": URL.username,
    "HOST": URL.host,
    "PORT": URL.port,
}
_sizes = {"min_size": 1, "max_size": MOST, "timeout": PATIENCE}
settings.configure(
    DATABASES={
        "default": {**_database, "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True},
        "pool": {**_database, "CONN_HEALTH_CHECKS": True, "OPTIONS": {"pool": _sizes}},
    }
)
django.setup()
_check = psycopg_pool.ConnectionPool.check_connection
_pool = psycopg_pool.ConnectionPool(
    os.environ["POSTGRES"], min_size=1, max_size=MOST, timeout=PATIENCE, check=_check, open=True
)
# The threads of these pools keep the process for some time if they are not closed.
atexit.register(_pool.close)
atexit.register(lambda: connections["pool"].close_pool())
_engine = sqlalchemy.create_engine(
    URL.set(drivername="postgresql+psycopg"),
    pool_size=MOST,
    max_overflow=0,  # those beyond the pool's size would be new ones each time
    pool_timeout=PATIENCE,
    pool_pre_ping=True,
)


def queries(execute: Execute, number: int) -> str:
    """Ask which connection it is; fails if another request has it meanwhile."""
    execute(f"SELECT set_config('pools.request', '{number}', true)")
    execute("SELECT 1 FROM pg_sleep(0.01)")
    time.sleep(0.01)
    assert execute("SELECT current_setting('pools.request')") == str(number)
    return str(execute("SELECT pg_backend_pid()"))


def _in_psycopg_pool(number: int) -> str:
    with _pool.connection() as connection:
        return queries(lambda query: connection.execute(query).fetchone()[0], number)  # type: ignore[index]


def _in_sqlalchemy(number: int) -> str:
    with _engine.begin() as connection:
        return queries(lambda query: connection.scalar(sqlalchemy.text(query)), number)


def _in_django(database: str, number: int) -> str:
    def execute(query: str) -> Any:
        with connections[database].cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchone()[0]

    request_started.send(sender=None)
    try:
        with transaction.atomic(using=database):
            return queries(execute, number)
    finally:
        request_finished.send(sender=None)


KEEPERS: dict[str, Callable[[int], str]] = {
    "psycopg_pool": _in_psycopg_pool,
    "sqlalchemy": _in_sqlalchemy,
    "django-pool": lambda number: _in_django("pool", number),
    "django": lambda number: _in_django("default", number),
}


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """WSGI: answer the connection's number in the database."""
    _, keeper, number = environ["PATH_INFO"].split("/")
    body = KEEPERS[keeper](int(number)).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
