"""The requests to an ASGI app, and what blocks its loop (M51)."""

from __future__ import annotations

import socket
import sqlite3
import time
from types import SimpleNamespace
from typing import Any

from fastapi import FastAPI

from bridge.check.asgi.drive import AsgiDrive
from bridge.check.findings import Findings
from bridge.check.requests import Options
from bridge.check.watching.logs import Logs
from bridge.loops.watchdog.stack import Place
from tests.support.apps.awkward.asgi import _answer
from tests.support.checking import at, checked_app, ids, the


def test_nothing_is_posted_where_something_may_be() -> None:
    """M51: as to a WSGI app."""
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        seen.append(scope["method"])
        await _answer(send)

    checked_app(app)
    assert set(seen) == {"GET", "HEAD", "OPTIONS"}
    checked_app(app, unsafe=("/cart",))
    assert seen.count("POST") == 5


def test_sockets_that_wait_on_the_loop() -> None:
    """M51: a blocking connect is told, one of the loop's own is not."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert scope["type"] == "http"
            if scope["path"] == "/blocks":
                socket.create_connection(server.getsockname()).close()
            await _answer(send)

        assert "blocks-loop" not in ids(checked_app(app))
        report = checked_app(app, paths=("/blocks",))
        assert "blocks-loop" in ids(report)


def test_a_place_blocks_if_it_does_so_again() -> None:
    """M51: a first time may be an import, or a cache that is filled."""
    findings = Findings()

    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    drive = AsgiDrive(app, Options(), findings, Logs())
    place = Place("shop.py", 3, "view")
    block: Any = SimpleNamespace(stack=SimpleNamespace(place=place, places=(place,)))
    drive._current = "GET /"
    drive._on_block(block)
    drive._on_block(block)
    assert "blocks-loop" not in findings
    drive._current = "GET / (again)"
    drive._on_block(block)
    assert "blocks-loop" in findings
    drive._loop.close()


def test_a_loop_that_is_blocked_for_good_ends_the_drive() -> None:
    """M51: nothing more is sent, and the check goes on."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        deadline = time.monotonic() + 6
        while time.monotonic() < deadline:
            sum(range(1000))

    report = checked_app(app, seconds=0.1)
    assert "hangs" in ids(report)
    assert report.apps[0].count == 1


def test_what_fails_on_another_thread_is_tried_in_the_importing_one() -> None:
    """M51: there servers have their loop; a sync view, in a pool, fails all the same."""
    db = sqlite3.connect(":memory:")
    app = FastAPI()

    @app.get("/on-the-loop")
    async def on_the_loop() -> Any:
        return db.execute("select 1").fetchone()[0]

    @app.get("/in-a-thread")
    def in_a_thread() -> Any:
        return db.execute("select 1").fetchone()[0]

    report = checked_app(app, paths=("/on-the-loop",))
    assert ids(report) & {"raises", "status-5xx", "one-thread"} == {"one-thread"}
    assert at(the(report, "one-thread")).endswith("on_the_loop")
    said = {each.way: str(each) for each in report.apps[0].verdicts}
    assert said["this server"] == "nothing seen against it"
    assert said["AsgiToWsgi"] == "will not do: one-thread"
    report = checked_app(app, paths=("/in-a-thread",))
    assert ids(report) & {"raises", "one-thread"} == {"raises"}
    db.close()
