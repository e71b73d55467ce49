"""A real PostgreSQL for tests, with a port and a folder of its own."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.databases import as_user, folder_of, make, needs, stop, user
from tests.support.hosts import ADDRESS, Command, Host, start
from tests.support.waiting import eventually

#: Where Debian has the programs of the newest version; elsewhere they are in the path.
_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


def _program(name: str) -> str:
    found = str(_FOLDERS[-1] / name) if _FOLDERS else name
    return shutil.which(found) or name


needs_postgres = needs("postgresql", *map(_program, ("initdb", "postgres", "pg_isready")))

_USER = user("postgres")
#: SIGINT is its "fast" stop, which does not wait for clients.
_RUN = as_user(_USER, "INT")


def postgres(folder: Path) -> Command:
    """A PostgreSQL whose data is in `folder`; it takes 300 connections and syncs nothing."""
    options = {
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "off",
        "max_connections": "300",
        "shared_buffers": "32MB",
        "listen_addresses": ADDRESS,
        "unix_socket_directories": "",
    }
    pairs = [word for item in options.items() for word in ("-c", "=".join(item))]
    argv = (*_RUN, _program("postgres"), "-D", str(folder), "-p", "{port}", *pairs)
    return Command("postgres", argv, cwd=folder)


@contextmanager
def started() -> Iterator[Host]:
    """A new PostgreSQL with an empty database ``test`` for a user ``test``, without password."""
    with folder_of(_USER) as folder:
        data = folder / "data"
        options = ("--no-sync", "--auth=trust", "--username=test", "--locale=C", "--encoding=UTF8")
        make((*_RUN, _program("initdb"), "-D", str(data), *options, "--no-instructions"), folder)
        with start(postgres(data)) as host:
            try:
                eventually(lambda: _takes_queries(host))
                _run(host, "createdb", "test")
                yield host
            finally:
                stop(host, signal.SIGINT)


def _takes_queries(host: Host) -> bool:
    return _run(host, "pg_isready", check=False) == 0


def _run(host: Host, program: str, *arguments: str, check: bool = True) -> int:
    argv = [_program(program), "-h", host.address, "-p", str(host.port), "-U", "test", *arguments]
    return subprocess.run(argv, check=check, capture_output=True, timeout=60).returncode


def postgres_url(host: Host) -> str:
    """The address of its database ``test``, for psycopg and for libpq."""
    return f"postgresql://test@{host.address}:{host.port}/test"


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[Host]:
    """A PostgreSQL for the tests of one module."""
    with started() as host:
        yield host
