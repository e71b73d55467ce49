"""A worker and what a supervisor says to it: real processes, which a test supervises."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import httpx
import pytest

from tests.support.raw import Client, request
from tests.support.workers import workers

APP = """
import asyncio, os, sys

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        print("starting", flush=True)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shut down", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    await asyncio.sleep(float(scope["path"][1:] or 0))
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
    if scope["query_string"]:
        await asyncio.sleep(0.5)
        print("work after the response", flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def test_a_worker_is_held_until_it_is_told_to_serve(folder: Path) -> None:
    """Its app has started, and it accepts nothing yet; it tells how it does once a second."""
    with workers(folder, "app:app", timeout_keep_alive=1) as running:
        pid = running.next("pid")["pid"]
        assert running.next("started")["app"] == ["serving app:app (ASGI)"]
        with socket.create_connection(("127.0.0.1", running.port), timeout=20) as client:
            client.sendall(request("/"))
            client.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.recv(1)
            client.settimeout(20)
            running.tell("serve")
            running.next("serving")
            assert Client(client).response().body == str(pid).encode()
        beats = [running.next("beat") for _ in range(3)]
        assert beats[2]["served"] == 1
        assert beats[2].keys() == {
            "worker", "type", "served", "connections", "websockets", "busy", "lag", "figures",
        }  # fmt: skip
        assert beats[2]["lag"] >= 0
        running.tell("retire")
        assert running.next("code")["code"] == 0
    assert "shut down" in running.log()
    assert "Press CTRL+C" not in running.log()


def test_a_worker_that_is_told_to_stop_finishes_what_is_in_flight(folder: Path) -> None:
    """P2: a response and the work after it; then its app shuts down, and it ends with 0."""
    with workers(folder, "app:app") as running:
        running.serving()
        with socket.create_connection(("127.0.0.1", running.port), timeout=20) as client:
            client.sendall(request("/2.5?more"))  # longer than two beats
            while not running.next("beat")["busy"]:
                pass
            running.tell("stop", grace=30)
            response = Client(client).response()
            assert response.status == 200
            assert response.closes
        assert running.next("code")["code"] == 0
    assert running.log().index("work after the response") < running.log().index("shut down")


def test_sigterm_asks_for_another_worker(folder: Path) -> None:
    """It serves on until it is told that another has taken over; SIGINT changes nothing."""
    with workers(folder, "app:app") as running:
        (pid,) = running.serving()
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGTERM):
            os.kill(pid, number)
        assert running.next("retiring")["why"] == "SIGTERM"
        assert httpx.get(running.url()).text == str(pid)
        running.tell("retire")
        assert running.next("retiring", "code")["code"] == 0


@pytest.mark.parametrize(
    ("source", "code", "error"),
    [
        ("app = 1/0", 3, "importing app failed: ZeroDivisionError"),
        ("async def app(scope, receive, send): raise ValueError('no database')", 3, "no database"),
        ("def app(environ, start_response): ...", 2, "access_log_format"),
    ],
)
def test_a_worker_that_cannot_start_says_why(
    tmp_path: Path, source: str, code: int, error: str
) -> None:
    """Its exit code tells whether to try again; the operator sees what a lone server prints."""
    (tmp_path / "app.py").write_text(source)
    more = {"access_log_format": "%(nonsense)q"} if code == 2 else {"lifespan": "on"}
    with workers(tmp_path, "app:app", **more) as running:
        failed = running.next("failed")
        assert failed["code"] == code
        assert error in failed["error"]
        assert running.next("code")["code"] == code
    assert f"Error: {failed['error']}" in running.log()
    assert ("Traceback" in running.log()) is (code == 3)


def test_a_worker_tells_where_it_stands(folder: Path) -> None:
    """Every thread and task, with the figures of the mounts; other questions are answered, too."""
    with workers(folder, "app:app") as running:
        running.serving()
        with socket.create_connection(("127.0.0.1", running.port), timeout=20) as client:
            client.sendall(request("/60"))
            while not running.next("beat")["busy"]:
                pass
            running.tell("ask", id=7, what="stacks")
            answer = running.next("answer")
            assert answer["id"] == 7
            assert "await asyncio.sleep(float(scope" in answer["text"]
            assert "thread MainThread" in answer["text"]
        running.tell("ask", id=8, what="the time")
        assert running.next("answer")["error"] == "the time is not known here"
        running.tell("a word of another version")
        running.tell("stats")
        running.tell("reopen-logs")
        running.tell("stop", grace=5)
        assert running.next("code")["code"] == 0
    assert "1 connection, 0 requests served" in running.log()
    assert "no log file has moved" in running.log()
