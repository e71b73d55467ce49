"""A real MariaDB for tests, with a port and a folder of its own."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql
import pytest

from tests.support.databases import as_user, folder_of, make, needs, stop, user
from tests.support.hosts import ADDRESS, Command, Host, start
from tests.support.waiting import eventually

#: Debian has the server where only root looks for programs.
PROGRAM = shutil.which("mariadbd") or "/usr/sbin/mariadbd"
INSTALL = "mariadb-install-db"

needs_mariadb = needs("mariadb-server", PROGRAM, INSTALL)

_USER = user("mysql")
_RUN = as_user(_USER, "TERM")
_SMALL = ("--innodb-log-file-size=8M", "--innodb-buffer-pool-size=32M")


def _places(folder: Path) -> tuple[str, ...]:
    # A MariaDB deletes the temporary tables of others if they are in the same folder.
    return ("--no-defaults", f"--datadir={folder}/data", f"--tmpdir={folder}")


def mariadb(folder: Path) -> Command:
    """A MariaDB whose data is in `folder`; it takes 300 connections and flushes once a second."""
    argv = (
        *_RUN, PROGRAM, *_places(folder), "--port={port}",
        f"--bind-address={ADDRESS}", "--socket=socket", "--pid-file=pid", "--skip-name-resolve",
        "--max-connections=300", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=0",
        "--innodb-fast-shutdown=2", *_SMALL,
    )  # fmt: skip
    return Command("mariadb", argv, cwd=folder)


@contextmanager
def started() -> Iterator[Host]:
    """A new MariaDB with an empty database ``test`` for ``root``, without password."""
    with folder_of(_USER) as folder:
        options = ("--skip-test-db", "--auth-root-authentication-method=normal")
        make((*_RUN, INSTALL, *_places(folder), *options, *_SMALL), folder)
        with start(mariadb(folder)) as host:
            try:
                eventually(lambda: _makes_database(host))
                yield host
            finally:
                stop(host, signal.SIGTERM)


def _makes_database(host: Host) -> bool:
    try:
        with pymysql.connect(host=host.address, port=host.port, user="root") as connection:
            connection.cursor().execute("CREATE DATABASE IF NOT EXISTS test")
    except pymysql.OperationalError:
        return False
    return True


def mariadb_url(host: Host) -> str:
    """The address of its database ``test``, for SQLAlchemy over pymysql."""
    return f"mysql+pymysql://root@{host.address}:{host.port}/test"


@pytest.fixture(scope="module")
def mariadb_server() -> Iterator[Host]:
    """A MariaDB for the tests of one module."""
    with started() as host:
        yield host
