"""Many requests at once move money in real databases, each in a transaction of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import NamedTuple

import pytest

from tests.conftest import StartHost
from tests.support import hosts, mariadb, postgres
from tests.support.banks import Bank, ask_all, balances_after, check
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
