"""Many requests at once move money in real databases, each in a transaction of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import NamedTuple

import pytest

from tests.conftest import StartHost
from tests.support import hosts, mariadb, postgres
from tests.support.banks import (
    Bank,
    ask_all,
    balances_after,
    check,
    opened,
    peak,
)
from tests.support.hosts import Command, Host
from tests.support.mariadb import needs_mariadb
from tests.support.postgres import needs_postgres
from tests.support.waiting import eventually


class App(NamedTuple):
    """An app, its database, and how many can be in that at once."""

    module: str
    database: str
    most: int
    env: tuple[tuple[str, str], ...] = ()


APPS = {
    "django-psycopg-c": App("with_django", "postgres", 200, (("PSYCOPG_IMPL", "binary"),)),
    "django-psycopg-python": App("with_django", "postgres", 200, (("PSYCOPG_IMPL", "python"),)),
    "sqlalchemy-psycopg": App("with_sqlalchemy", "postgres", 50),
    "sqlalchemy-pymysql": App("with_sqlalchemy", "mariadb", 50),
}


NAMES = [
    pytest.param(name, marks=needs_mariadb if app.database == "mariadb" else needs_postgres)
    for name, app in APPS.items()
]


@pytest.fixture(scope="module")
def url_of() -> Iterator[Callable[[str], str]]:
    """``url_of(database)``: the address of a database, which is started when it is asked for."""
    with ExitStack() as running:

        @cache
        def get(database: str) -> str:
            if database == "mariadb":
                return mariadb.mariadb_url(running.enter_context(mariadb.started()))
            url = postgres.postgres_url(running.enter_context(postgres.started()))
            return url.replace("postgresql:", "postgresql+psycopg:")

        yield get


@pytest.fixture
def bank(name: str, url_of: Callable[[str], str]) -> Iterator[Bank]:
    """The database of the app, as it is at first."""
    bank = Bank(url_of(APPS[name].database))
    eventually(lambda: bank.clients() == 0)  # a server of the test before may still have some
    yield bank
    bank.close()


def started(command: Command, name: str, bank: Bank, start_host: StartHost) -> Host:
    """The app, with its database."""
    return start_host(command.with_env(BANK_URL=bank.url, **dict(APPS[name].env)))


def on_bridge(name: str, runner: str, *options: str) -> Command:
    """The app on our server, with one of the runners."""
    module = f"tests.support.apps.banks.{APPS[name].module}"
    return hosts.bridge(*hosts.RUNNERS[runner], *options, f"{module}:wsgi")


@pytest.mark.parametrize("runner", hosts.RUNNERS)
@pytest.mark.parametrize("name", NAMES)
def test_transactions_are_apart(name: str, runner: str, bank: Bank, start_host: StartHost) -> None:
    """G7: requests that wait in the middle of a transaction have it alone, on every runner."""
    host = started(on_bridge(name, runner), name, bank, start_host)
    for number, answer in enumerate(ask_all(host, 40, sleep=0.01, pause=0.01)):
        check(number, answer)
    assert bank.balances() == balances_after(40)
    if name.startswith("django"):
        eventually(lambda: bank.clients() == 0)
    host.stop()
    eventually(lambda: bank.clients() == 0)


def on_uvicorn(name: str) -> Command:
    """The app on another server, patched by its own first line."""
    module = f"tests.support.apps.banks.{APPS[name].module}"
    return hosts.uvicorn(f"{module}:asgi").with_env(BANK_PATCH="1")


#: Which app waits on which server, and for how many clients: one with each database on the other
#: server, too, and each in full once.
WAITING = [
    pytest.param("django-psycopg-c", "bridge", 200, marks=needs_postgres),
    pytest.param("django-psycopg-python", "bridge", 80, marks=needs_postgres),
    pytest.param("sqlalchemy-psycopg", "bridge", 80, marks=needs_postgres),
    pytest.param("sqlalchemy-pymysql", "bridge", 200, marks=needs_mariadb),
    pytest.param("django-psycopg-c", "uvicorn", 80, marks=needs_postgres),
    pytest.param("sqlalchemy-pymysql", "uvicorn", 80, marks=needs_mariadb),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "server", "clients"), WAITING)
def test_transactions_wait_at_the_same_time(
    name: str, server: str, clients: int, bank: Bank, start_host: StartHost
) -> None:
    """G8: up to 200 transactions of 2 s run at once on one thread, as far as connections go."""
    command = on_bridge(name, "patched") if server == "bridge" else on_uvicorn(name)
    host = started(command, name, bank, start_host)
    answers = ask_all(host, clients, sleep=2)
    for number, answer in enumerate(answers):
        check(number, answer)
    assert bank.balances() == balances_after(clients)
    assert 20 < peak(host) <= APPS[name].most


@pytest.mark.parametrize("name", NAMES)
def test_clients_that_leave_stop_no_transaction(
    name: str, bank: Bank, start_host: StartHost
) -> None:
    """G8: a transaction whose client has gone goes on to its end, and gives its connection back."""
    host = started(on_bridge(name, "patched"), name, bank, start_host)
    with opened(host, 20, sleep=8):  # a busy machine takes some of them to begin
        eventually(lambda: peak(host) == 20, pause=0.2)
    eventually(lambda: bank.balances() == balances_after(20))
    for number, answer in enumerate(ask_all(host, 100, sleep=0.01)[20:], 20):
        check(number, answer)


@pytest.mark.parametrize("name", NAMES)
def test_a_stop_ends_transactions(name: str, bank: Bank, start_host: StartHost) -> None:
    """G8: what is in the middle of a transaction when the server ends is taken back."""
    command = on_bridge(
        name, "patched", "--timeout-graceful-shutdown=0.1", "--timeout-shutdown=0.1"
    )
    host = started(command, name, bank, start_host)
    with opened(host, 20, sleep=10):
        eventually(lambda: peak(host) == 20, pause=0.2)
        host.stop()
    eventually(lambda: bank.clients() == 0)
    assert bank.balances() == balances_after(0)
