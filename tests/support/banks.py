"""The customers of the apps in `tests/support/apps/banks`: they ask, and know what is right."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
from sqlalchemy import create_engine, text

from tests.support.apps.banks import ACCOUNTS, BALANCE, kind, parties
from tests.support.hosts import Host

_TABLES = (
    "DROP TABLE IF EXISTS account, entry",
    "CREATE TABLE account (id integer PRIMARY KEY, balance integer NOT NULL)",
    "CREATE TABLE entry (id {serial}, request integer NOT NULL, account integer NOT NULL,"
    " amount integer NOT NULL)",
    "INSERT INTO account VALUES " + ", ".join(f"({at + 1}, {BALANCE})" for at in range(ACCOUNTS)),
)
_SERIAL = {"postgresql": "serial PRIMARY KEY", "mysql": "integer AUTO_INCREMENT PRIMARY KEY"}
_CLIENTS = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = 'test' AND pid <> pg_backend_pid()",
    "mysql": "SELECT count(*) FROM information_schema.processlist"
    " WHERE db = 'test' AND id <> connection_id()",
}


class Bank:
    """The database of a bank, newly made; looked at past the app."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = create_engine(url)
        self._dialect = self._engine.dialect.name
        with self._engine.begin() as connection:
            for statement in _TABLES:
                connection.execute(text(statement.format(serial=_SERIAL[self._dialect])))

    def close(self) -> None:
        """Have no connection any more."""
        self._engine.dispose()

    def clients(self) -> int:
        """How many connections others have."""
        with self._engine.connect() as connection:
            return int(connection.scalar(text(_CLIENTS[self._dialect])) or 0)

    def balances(self) -> dict[int, int]:
        """What is on each account."""
        with self._engine.connect() as connection:
            rows = connection.execute(text("SELECT id, balance FROM account"))
            return {row.id: row.balance for row in rows}


def ask_all(host: Host, count: int, **query: float) -> list[dict[str, Any]]:
    """The answers to requests 0 to `count`, which are all sent at once."""

    async def asked() -> list[dict[str, Any]]:
        limits = httpx.Limits(max_connections=count)
        async with httpx.AsyncClient(base_url=host.url(""), limits=limits, timeout=100) as client:
            urls = [f"/{number}" for number in range(count)]
            answers = await asyncio.gather(*(client.get(url, params=query) for url in urls))
        return [answer.raise_for_status().json() for answer in answers]

    return asyncio.run(asked())


@contextmanager
def opened(host: Host, count: int, sleep: float) -> Iterator[None]:
    """Requests 0 to `count` are sent; at the end of the block their clients leave."""
    with ExitStack() as clients:
        for number in range(count):
            client = clients.enter_context(host.connect())
            head = f"GET /{number}?sleep={sleep} HTTP/1.1\r\nHost: bank.example\r\n\r\n"
            client.sendall(head.encode())
        yield


def peak(host: Host) -> int:
    """How many have been in the database at the same time."""
    return int(httpx.get(host.url("/peak"), timeout=30).json()["most"])


def balances_after(count: int) -> dict[int, int]:
    """What must be on each account when requests 0 to `count` are over."""
    balances = Counter({at + 1: BALANCE for at in range(ACCOUNTS)})
    for number in range(count):
        if kind(number) == "transfer":
            source, target = parties(number)
            balances[source] -= number % 7 + 1
            balances[target] += number % 7 + 1
    return dict(balances)


def check(number: int, answer: dict[str, Any]) -> None:
    """What request `number` has seen is its own, and never half of what another did."""
    first, second, after = answer["looks"]
    assert first["connection"] == second["connection"]
    assert str(first["mark"]) == str(second["mark"]) == str(number)
    amount = number % 7 + 1
    moved = [] if kind(number) == "audit" else [-amount, amount]
    assert (first["own"], second["own"]) == ([], moved)
    assert after["own"] == (moved if kind(number) == "transfer" else [])
    for look in answer["looks"]:
        assert (look["others"], look["total"]) == (0, ACCOUNTS * BALANCE)
        assert look["context"] == answer["context"]
    if kind(number) == "audit":  # in REPEATABLE READ
        assert first["count"] == second["count"]
