"""Database drivers written in C, in greenlets."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import psycopg
import pytest
from psycopg import waiting

from bridge.errors import RequestCancelled
from bridge.runners import Runner
from bridge.runners.greenlets.runner import GreenletRunner
from bridge.runners.patching import drivers
from tests.runners.jobs import Call, run_with, until
from tests.support.hosts import Host
from tests.support.postgres import needs_postgres, postgres_server, postgres_url
from tests.support.waiting import Together

__all__ = ["postgres_server"]


def submit(runner: Runner, *jobs: Callable[[], Any]) -> list[Call]:
    calls = [Call(job) for job in jobs]
    for call in calls:
        runner.submit(call)
    return calls


@needs_postgres
def test_psycopg(postgres_server: Host) -> None:
    """G6: queries by psycopg 3, with its parts in C, wait side by side; it was imported before."""
    url = postgres_url(postgres_server)

    def query(number: int) -> Any:
        with psycopg.connect(url) as connection:
            return connection.execute("SELECT pg_sleep(0.5), %s", [number]).fetchone()[1]  # type: ignore[index]

    async def main(runner: Runner) -> None:
        begin, together = time.monotonic(), Together()
        queries = (partial(query, number) for number in range(20))
        calls = submit(runner, *(partial(together.during, each) for each in queries))
        assert [await call.done for call in calls] == [*range(20)]
        assert time.monotonic() - begin >= 0.5
        assert together.most > 1

    assert psycopg.pq.__impl__ in ("c", "binary")
    run_with(GreenletRunner(), main)
    assert query(1) == 1, "and here as before"


@needs_postgres
def test_psycopg_that_is_interrupted(postgres_server: Host) -> None:
    """G4: what ends the request ends its query; the connection says that it is of no use."""
    url = postgres_url(postgres_server)

    async def main(runner: Runner) -> None:
        connections: list[Any] = []

        def job() -> None:
            connections.append(psycopg.connect(url))
            connections[0].execute("SELECT pg_sleep(60)")

        (call,) = submit(runner, job)
        await until(lambda: bool(connections))
        await asyncio.sleep(0.05)
        runner.interrupt(call, RequestCancelled("enough"))
        with pytest.raises(RequestCancelled):
            await call.done
        connections[0].close()

    run_with(GreenletRunner(), main)


def test_psycopg_once() -> None:
    """G6: a second change changes nothing; one that is imported later is changed, too."""
    wait = waiting.wait
    drivers.patch()
    assert waiting.wait is wait
    assert getattr(wait, "waits_in_greenlets", False)


class Connection:
    """One of psycopg2: it is done when a byte has come."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.fileno = self.ours.fileno
        self.polled = 0

    def poll(self) -> int:
        self.polled += 1
        self.ours.setblocking(False)
        try:
            self.ours.recv(1)
        except BlockingIOError:
            return 1
        return 0

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def psycopg2(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What we need of `psycopg2.extensions`."""
    module: Any = ModuleType("psycopg2.extensions")
    module.POLL_OK, module.POLL_READ, module.POLL_WRITE = 0, 1, 2
    callbacks = [None]
    module.get_wait_callback = lambda: callbacks[-1]
    module.set_wait_callback = callbacks.append
    monkeypatch.setitem(sys.modules, "psycopg2", ModuleType("psycopg2"))
    monkeypatch.setitem(sys.modules, "psycopg2.extensions", module)
    return module


def test_psycopg2(psycopg2: Any) -> None:
    """G6: psycopg2 waits by the function that it has for that, in greenlets and in threads."""
    drivers.patch()
    wait = psycopg2.get_wait_callback()
    drivers.patch()
    assert psycopg2.get_wait_callback() is wait

    async def main(runner: Runner) -> None:
        connections = [Connection() for _ in range(5)]
        calls = submit(runner, *(lambda c=c: wait(c) for c in connections))
        await until(lambda: all(connection.polled == 1 for connection in connections))
        for connection, call in zip(reversed(connections), reversed(calls), strict=True):
            assert not call.done.done()
            connection.theirs.send(b"x")
            await call.done
            connection.close()

    run_with(GreenletRunner(), main)
    connection = Connection()
    later = threading.Timer(0.05, connection.theirs.send, (b"x",))
    later.start()
    wait(connection)
    later.join()
    connection.close()


def test_psycopg2_of_the_apps_own(psycopg2: Any) -> None:
    """G6: a function that the app has set stays."""
    psycopg2.set_wait_callback(print)
    drivers.patch()
    assert psycopg2.get_wait_callback() is print


def test_unknown_version(psycopg2: Any, caplog: pytest.LogCaptureFixture) -> None:
    """G6: a driver that is built in another way blocks as ever, and the log says so."""
    del psycopg2.get_wait_callback
    with caplog.at_level(logging.WARNING, "bridge"):
        drivers.patch()
    assert "calls of psycopg2.extensions block in greenlets: AttributeError" in caplog.text
