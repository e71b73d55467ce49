"""Connections to a real database that are kept, and fewer than the requests that want one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from tests.conftest import StartHost
from tests.support import hosts, postgres
from tests.support.hosts import Host
from tests.support.postgres import needs_postgres

pytestmark = needs_postgres

#: As in `tests.support.apps.pools`, which only works with its database.
MOST = 4
POOLS = ("psycopg_pool", "sqlalchemy", "django-pool")
COUNT = 60


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The address of the database."""
    with postgres.started() as host:
        yield postgres.postgres_url(host)


@pytest.fixture(params=["thread", "patched"])
def host(request: pytest.FixtureRequest, database: str, start_host: StartHost) -> Host:
    """The app, on the runners under which requests wait side by side."""
    options = (*hosts.RUNNERS[request.param], "--no-access-log", f"--threads={COUNT}")
    command = hosts.bridge(*options, "tests.support.apps.pools:app")
    return start_host(command.with_env(POSTGRES=database))


def ask(host: Host, keeper: str, count: int = COUNT) -> set[str]:
    """The connections that requests had which were sent all at once."""

    async def asked() -> set[str]:
        limits = httpx.Limits(max_connections=count)
        async with httpx.AsyncClient(base_url=host.url(""), limits=limits, timeout=90) as client:
            urls = [f"/{keeper}/{number}" for number in range(count)]
            answers = await asyncio.gather(*map(client.get, urls))
        return {answer.raise_for_status().text for answer in answers}

    return asyncio.run(asked())


def drop_all(database: str) -> None:
    """Have the database drop the connections of all others."""
    others = "FROM pg_stat_activity WHERE datname = 'test' AND pid <> pg_backend_pid()"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"SELECT pg_terminate_backend(pid, 10000) {others}")


def test_pools_are_shared(host: Host, database: str) -> None:
    """G8: requests wait for a connection of a pool, and have it alone; lost ones are replaced."""
    for pool in POOLS:
        first, second = ask(host, pool), ask(host, pool)
        assert 1 <= len(first) <= MOST
        assert 1 <= len(second) <= MOST
        assert first & second
    drop_all(database)
    for pool in POOLS:
        assert 1 <= len(ask(host, pool)) <= MOST


def test_connections_of_django_persist(host: Host, database: str) -> None:
    """G7: a greenlet keeps its connection for the next request that it serves, as a thread does."""
    first, second = ask(host, "django"), ask(host, "django")
    assert first & second
    assert len(first | second) <= COUNT
    drop_all(database)
    assert not ask(host, "django", 20) & first
