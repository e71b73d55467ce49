"""What Django has opened in a thread of a pool, when that ends."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db.utils import ConnectionHandler

import bridge
from bridge.runners import Runner
from bridge.runners.greenlets import in_thread
from bridge.runners.greenlets.runner import GreenletRunner
from bridge.runners.thread_end import close_connections
from bridge.runners.threads.runner import ThreadRunner
from tests.runners.jobs import Call, run_with, until
from tests.support.django_here import set_up

pytestmark = pytest.mark.usefixtures("pool_threads")


@pytest.fixture
def connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Django's connections, to a database; nothing is collected meanwhile."""
    set_up()
    databases = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": tmp_path / "db"}}
    made = ConnectionHandler(databases)
    monkeypatch.setattr("django.db.connections", made)
    gc.disable()
    yield made
    gc.enable()


def test_a_thread_of_the_pool(connections: Any) -> None:
    """W52: when it ends after some idle seconds, it leaves no connection to a database open."""

    def query() -> Any:
        connection = connections["default"]
        connection.ensure_connection()
        return connection

    async def main(runner: Runner) -> None:
        call = Call(query)
        runner.submit(call)
        connection = await call.done
        await until(lambda: runner.stats()[:2] == (0, 0))
        assert connection.connection is None

    run_with(ThreadRunner(idle_timeout=0.02), main)


def test_a_thread_beside_greenlets(connections: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """G6: so does one that runs calls for greenlets."""
    monkeypatch.setattr(in_thread, "IDLE_TIMEOUT", 0.02)
    monkeypatch.setattr(in_thread, "_pool", in_thread.ByProcess(in_thread._Pool))
    opened: list[Any] = []

    def query() -> None:
        opened.append(connections["default"])
        opened[0].inc_thread_sharing()
        opened[0].ensure_connection()

    async def main(runner: Runner) -> None:
        call = Call(lambda: bridge.in_thread(query))
        runner.submit(call)
        await call.done
        await until(lambda: opened[0].connection is None)

    run_with(GreenletRunner(), main)


def test_a_connection_that_cannot_be_closed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """W52: that is told in the log, and the thread ends all the same."""
    set_up()

    def close_all() -> None:
        raise OSError("on purpose")

    monkeypatch.setattr("django.db.connections", SimpleNamespace(close_all=close_all))
    close_connections()
    assert "could not close its connections" in caplog.text


def test_apps_without_django(monkeypatch: pytest.MonkeyPatch) -> None:
    """W52: Django is neither imported nor set up for that."""
    monkeypatch.setattr("django.db.connections", SimpleNamespace(close_all=pytest.fail))
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "django.conf", SimpleNamespace(settings=object()))
        close_connections()
    monkeypatch.delitem(sys.modules, "django.db")
    close_connections()
    assert "django.db" not in sys.modules
