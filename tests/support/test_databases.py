"""The databases for tests do what the other tests rely on."""

from __future__ import annotations

import os

import psycopg
import pymysql
import pytest

from tests.support import mariadb, postgres
from tests.support.hosts import Host
from tests.support.mariadb import needs_mariadb
from tests.support.postgres import needs_postgres, postgres_url


def is_gone(host: Host, folder: str) -> None:
    """The server has ended, though a client is connected, and has left nothing."""
    assert host.process.returncode == 0
    assert not os.path.exists(folder)
    with pytest.raises(OSError):
        host.connect()


@needs_postgres
def test_postgres_takes_queries_at_once_and_is_gone_afterwards() -> None:
    """PostgreSQL works when the block begins, and ends with it, clients or not."""
    with postgres.started() as host:
        connection = psycopg.connect(postgres_url(host))
        found = connection.execute(
            "SELECT current_setting('data_directory'), count(*) FROM pg_class"
        )
        folder, relations = found.fetchone() or ("", 0)
        assert relations > 100
    is_gone(host, folder)
    connection.close()


@needs_mariadb
def test_mariadb_takes_queries_at_once_and_is_gone_afterwards() -> None:
    """MariaDB works when the block begins, and ends with it, clients or not."""
    with mariadb.started() as host:
        connection = pymysql.connect(
            host=host.address, port=host.port, user="root", database="test"
        )
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@datadir")
            ((folder,),) = cursor.fetchall()
    is_gone(host, folder)
    connection.close()
