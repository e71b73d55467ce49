"""Django's connections to a real database, of views of both kinds."""

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
from tests.support.waiting import eventually

pytestmark = needs_postgres

APP = "tests.support.apps.both_ways.asgi:application"
THREADS = 4
COUNT = 1000
#: Requests at once.
SIDE_BY_SIDE = 20


@pytest.fixture(scope="module")
def database() -> Iterator[Host]:
    """A PostgreSQL with the tables that the views ask for."""
    with postgres.started() as host:
        with psycopg.connect(postgres.postgres_url(host), autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE django_content_type (id serial, app_label text, model text)"
            )
        yield host


def count_connections(database: Host, state: str = "%") -> int:
    """How many connections others have to the database, that are in such a state."""
    others = "FROM pg_stat_activity WHERE datname = 'test' AND pid <> pg_backend_pid()"
    others += f" AND state LIKE '{state}'"
    with psycopg.connect(postgres.postgres_url(database), autocommit=True) as connection:
        (count,) = connection.execute(f"SELECT count(*) {others}").fetchone() or (0,)
    return int(count)


def ask(host: Host, count: int = COUNT) -> set[int]:
    """Ask views of both kinds; the statuses."""

    async def asked() -> set[int]:
        turns = asyncio.Semaphore(SIDE_BY_SIDE)
        async with httpx.AsyncClient(base_url=host.url(""), timeout=90) as client:

            async def one(number: int) -> int:
                async with turns:
                    return (await client.get(("/query", "/query/async")[number % 2])).status_code

            return set(await asyncio.gather(*map(one, range(count))))

    return asyncio.run(asked())


@pytest.mark.parametrize(("age", "most"), [(0, 0), (600, THREADS + 1)])
def test_connections_that_are_left(
    age: int, most: int, database: Host, start_host: StartHost
) -> None:
    """M30: 1,000 requests leave a connection for each thread at most; async views leave one."""
    command = hosts.bridge(f"--threads={THREADS}", "--no-access-log", APP)
    host = start_host(command.with_env(POSTGRES_PORT=str(database.port), CONN_MAX_AGE=str(age)))
    assert ask(host) == {200}
    eventually(lambda: count_connections(database) <= most)
    host.stop()
    eventually(lambda: count_connections(database) == 0)


def test_threads_that_end(database: Host, start_host: StartHost) -> None:
    """M30: a thread without work ends, and its connection with it, whatever its age may be."""
    env = {"POSTGRES_PORT": str(database.port), "CONN_MAX_AGE": "600", "IDLE_TIMEOUT": "0.1"}
    host = start_host(hosts.bridge(f"--threads={THREADS}", "--no-access-log", APP).with_env(**env))
    for _ in range(3):
        assert ask(host, SIDE_BY_SIDE) == {200}
        eventually(lambda: count_connections(database) <= 1)  # the async views'


@pytest.fixture
def site(database: Host, start_host: StartHost) -> Iterator[httpx.Client]:
    """A client of the project, whose connections stay."""
    env = {"POSTGRES_PORT": str(database.port), "CONN_MAX_AGE": "600"}
    host = start_host(hosts.bridge("--no-access-log", APP).with_env(**env))
    with httpx.Client(base_url=host.url(""), timeout=60) as client:
        yield client


def reach(site: httpx.Client, step: str) -> None:
    eventually(lambda: step in site.get("/steps").json()["steps"])


def test_a_client_that_leaves_a_transaction_open(site: httpx.Client, database: Host) -> None:
    """M30: it ends with its request; later ones have a connection in which nothing was begun."""
    assert site.get("/query/async").status_code == 200
    with pytest.raises(httpx.ReadTimeout), httpx.Client(base_url=site.base_url) as leaving:
        leaving.get("/hold", timeout=1)
    reach(site, "held")
    eventually(lambda: not count_connections(database, "idle in transaction%"))
    assert {site.get("/query/async").status_code for _ in range(20)} == {200}
    assert not count_connections(database, "idle in transaction%")
    eventually(lambda: count_connections(database) == 1)


def test_a_task_that_outlives_its_request(site: httpx.Client) -> None:
    """M30: its transaction is in one connection, which no request has meanwhile."""
    before = site.get("/outlive").json()["count"]
    site.get("/steps?add=begin")
    reach(site, "added")
    counts = {site.get("/query/async").json()["count"] for _ in range(10)}
    assert counts == {before}
    site.get("/steps?add=end")
    reach(site, "committed")
    assert site.get("/query/async").json()["count"] == before + 1
