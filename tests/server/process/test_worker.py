"""A worker and what a supervisor says to it: real processes, which a test supervises."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.raw import Client, request
from tests.support.waiting import eventually
from tests.support.workers import workers

APP = """
import asyncio, os, sys

async def nested(depth):
    await (nested(depth - 1) if depth else asyncio.sleep(60))

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        print("starting", flush=True)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shut down", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["query_string"] == b"tasks":
        tasks = [asyncio.create_task(nested(depth)) for depth in range(60)]
    await asyncio.sleep(float(scope["path"][1:] or 0))
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
    if scope["query_string"] == b"more":
        await asyncio.sleep(0.5)
        print("work after the response", flush=True)
"""


LONG = """
import asyncio, os, threading, time

def block(where):
    if where == os.environ.get("BLOCK"):
        print("blocked", flush=True)
        time.sleep(600)

block("import")
if os.environ.get("BLOCK") == "thread":
    threading.Thread(target=time.sleep, args=[600]).start()

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        block("lifespan")
        await send({"type": "lifespan.startup.complete"})
        if os.environ.get("BLOCK") == "waiting shutdown":
            await receive()
            print("blocked", flush=True)
            await asyncio.sleep(600)
        await receive()
        block("shutdown")
        await send({"type": "lifespan.shutdown.complete"})
        return
    print("asked", flush=True)
    block("loop")
    await asyncio.sleep(600)
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


def test_nothing_that_it_has_counted_is_lost(folder: Path) -> None:
    """O2: the last of its figures is sent when it has stopped, whenever the next beat is due."""
    with workers(folder, "app:app") as running:
        running.serving()
        assert httpx.get(running.url()).status_code == 200
        running.tell("stop", grace=5)
        last: dict[str, Any] = {}
        while "code" not in (message := running.next("beat", "code")):
            last = message
        assert last["served"] == 1
        assert message["code"] == 0


def test_clients_that_say_nothing_do_not_hold_a_stop(folder: Path) -> None:
    """P2: an idle connection is closed at once, half a head has 2 seconds; not the grace."""
    with workers(folder, "app:app") as running:
        running.serving()
        with (
            socket.create_connection(("127.0.0.1", running.port), timeout=20) as idle,
            socket.create_connection(("127.0.0.1", running.port), timeout=20) as half,
        ):
            idle.sendall(request("/"))
            assert Client(idle).response().status == 200
            half.sendall(b"GET / HTTP/1.1\r\nHo")
            while running.next("beat")["connections"] != 2:
                pass
            running.tell("stop", grace=600)
            assert idle.recv(1) == b""
            assert running.next("code")["code"] == 0


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
    """P5: every thread and task, with the figures of the mounts; other orders are obeyed, too."""
    with workers(folder, "app:app") as running:
        running.serving()
        with socket.create_connection(("127.0.0.1", running.port), timeout=20) as client:
            client.sendall(request("/60?tasks"))  # an answer that does not fit the channel at once
            while not running.next("beat")["busy"]:
                pass
            running.tell("ask", id=7, what="stacks")
            answer = running.next("answer")
            assert answer["id"] == 7
            assert "await asyncio.sleep(float(scope" in answer["text"]
            assert "thread MainThread" in answer["text"]
            assert answer["text"].startswith("slot 0: 1 connection, 0 requests served\n")
        running.tell("ask", id=8, what="the time")
        assert running.next("answer")["error"] == "the time is not known here"
        running.tell("a word of another version")
        running.tell("stats")
        running.tell("reopen-logs")
        running.tell("stop", grace=5)
        assert running.next("code")["code"] == 0
    assert "1 connection, 0 requests served" in running.log()
    assert "no log file has moved" not in running.log()  # the supervisor says it, once for all
    assert running.log().rstrip().endswith("the worker has stopped")


def test_sigterm_is_obeyed_if_nobody_takes_over(folder: Path) -> None:
    """It serves on for the graceful time, and then goes without being told."""
    with workers(folder, "app:app", timeout_graceful_shutdown=0.2) as running:
        (pid,) = running.serving()
        os.kill(pid, signal.SIGTERM)
        running.next("retiring")
        assert running.next("code")["code"] == 0
    assert "shut down" in running.log()


@pytest.mark.parametrize("order", ["signal", "stop", "cut", "retire"])
def test_a_worker_that_is_held_goes_at_once(folder: Path, order: str) -> None:
    """P2: it has nothing to finish; its app is shut down."""
    with workers(folder, "app:app") as running:
        pid = running.next("pid")["pid"]
        running.next("started")
        if order == "signal":
            os.kill(pid, signal.SIGTERM)
        else:
            running.tell(order, grace=30)
        assert running.next("retiring", "serving", "code").get("code") == 0
    assert "shut down" in running.log()


def test_a_worker_that_starts_can_be_told_to_stop(tmp_path: Path) -> None:
    """P2: its app is told that it is over; also while it is imported, by a signal."""
    source = LONG.replace(
        'block("lifespan")', "print('waiting', flush=True); await asyncio.sleep(60)"
    )
    (tmp_path / "app.py").write_text(source)
    with workers(tmp_path, "app:app") as running:
        eventually(lambda: "waiting" in running.log())
        running.tell("stop", grace=30)
        assert running.next("started", "failed", "code").get("code") == 0


def test_sigterm_ends_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P2: a worker that is told to go before it has its app does not wait for that."""
    (tmp_path / "app.py").write_text(LONG)
    monkeypatch.setenv("BLOCK", "import")
    with workers(tmp_path, "app:app") as running:
        pid = running.next("pid")["pid"]
        eventually(lambda: "blocked" in running.log())
        os.kill(pid, signal.SIGTERM)
        assert running.next("started", "failed", "code").get("code") == 0


def test_what_a_stop_waits_for_can_be_cut(folder: Path) -> None:
    """P2: at a second SIGINT to the supervisor."""
    with workers(folder, "app:app") as running:
        (pid,) = running.serving()
        with socket.create_connection(("127.0.0.1", running.port), timeout=20) as client:
            client.sendall(request("/600"))
            while not running.next("beat")["busy"]:
                pass
            running.tell("stop", grace=600)
            eventually(lambda: "stopping: 1 request" in running.log())
            os.kill(pid, signal.SIGTERM)  # changes nothing
            running.tell("cut")
            assert running.next("code")["code"] == 0
    assert "cut 1 request" in running.log()


def test_health_is_red_before_anything_is_refused(folder: Path) -> None:
    """O1: the supervisor says that it will stop."""
    with workers(folder, "app:app", health_path="/health") as running:
        running.serving()
        assert httpx.get(running.url("/health")).status_code == 200
        running.tell("drain")
        eventually(lambda: httpx.get(running.url("/health")).status_code == 503)
        assert httpx.get(running.url("/")).status_code == 200


def test_a_shutdown_that_fails_gives_another_code(tmp_path: Path) -> None:
    """S40: it is printed, and the supervisor learns of it by the code: it had started."""
    (tmp_path / "app.py").write_text(
        APP.replace('print("shut down", flush=True)', 'raise ValueError("no database")')
    )
    with workers(tmp_path, "app:app") as running:
        running.serving()
        running.tell("stop", grace=5)
        assert running.next("failed", "code").get("code") == 1
    assert "ValueError: no database" in running.log()


def test_an_unexpected_error_is_told_with_its_traceback(folder: Path) -> None:
    """S62: the supervisor may try again."""
    with workers(folder, "app:app", broken=True) as running:
        running.next("started")
        running.tell("serve")
        failed = running.next("failed")
        assert failed["code"] == 1
        assert failed["error"].startswith("OSError: ")
        assert running.next("code")["code"] == 1
    assert "Traceback" in running.log()
    assert "shut down" in running.log()


def test_a_worker_that_blocks_shows_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P6: the supervisor reads it while the worker can tell nothing."""
    (tmp_path / "app.py").write_text(LONG)
    monkeypatch.setenv("BLOCK", "loop")
    with workers(tmp_path, "app:app", stacks=True) as running:
        running.serving()
        with socket.create_connection(("127.0.0.1", running.port), timeout=20) as client:
            client.sendall(request("/"))
            eventually(lambda: "blocked" in running.log())
            running.tell("read stacks")
            stacks = running.next("stacks")["stacks"]
    assert f'File "{tmp_path}/app.py", line 7 in block' in stacks


def test_a_worker_that_is_blocked_says_for_how_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R3: with the request and the line, at the thread of the loop."""
    (tmp_path / "app.py").write_text(LONG)
    monkeypatch.setenv("BLOCK", "loop")
    with workers(tmp_path, "app:app", stacks=True) as running:
        running.serving()
        with socket.create_connection(("127.0.0.1", running.port), timeout=20) as client:
            client.sendall(request("/"))
            eventually(lambda: "the event loop has been blocked" in running.log())
            running.tell("read stacks")
            stacks = running.next("stacks")["stacks"]
    line = r"  the event loop has been blocked for \d+\.\d\d s by GET /, at "
    assert re.search(f"{line}{tmp_path}/app.py:7 in block", stacks)


# ------------------------------------------------------------- without a supervisor


@pytest.mark.parametrize("state", ["import", "lifespan", "shutdown", "waiting shutdown"])
def test_a_worker_ends_with_its_supervisor_while_it_starts_or_stops(
    tmp_path: Path, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P7: whatever its main thread does, and however long that would take."""
    (tmp_path / "app.py").write_text(LONG)
    monkeypatch.setenv("BLOCK", state)
    with workers(tmp_path, "app:app", timeout_startup=600, timeout_shutdown=600) as running:
        if state.endswith("shutdown"):
            running.serving()
            running.tell("stop", grace=600)
        eventually(lambda: "blocked" in running.log())
        running.process.kill()
        assert running.ended(20)


@pytest.mark.parametrize("state", ["held", "idle", "busy", "loop", "thread", "retiring"])
def test_a_worker_ends_with_its_supervisor_while_it_serves(
    tmp_path: Path, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P7: also one whose app blocks the loop, or has a thread that does not end."""
    (tmp_path / "app.py").write_text(LONG)
    monkeypatch.setenv("BLOCK", state)
    with workers(tmp_path, "app:app", timeout_graceful_shutdown=600) as running:
        if state == "held":
            running.next("started")
        else:
            running.serving()
        with socket.create_connection(("127.0.0.1", running.port), timeout=20) as client:
            if state in ("busy", "loop", "retiring"):
                client.sendall(request("/"))
                eventually(lambda: "asked" in running.log())
            if state == "retiring":
                running.tell("retire")
                eventually(lambda: not accepts(running.port))
            running.process.kill()
            assert running.ended(20)
        if state != "loop":
            assert "the supervisor has gone: stopping" in running.log()


def accepts(port: int) -> bool:
    """Whether anybody accepts connections at `port`."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=20).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_wsgi_app_that_hangs_does_not_keep_its_worker(tmp_path: Path) -> None:
    """P7: nor do threads of the pool."""
    (tmp_path / "app.py").write_text(
        "import time\ndef app(environ, start_response):\n    print('asked', flush=True)\n"
        "    time.sleep(600)\n"
    )
    with workers(tmp_path, "app:app", interface="wsgi") as running:
        running.serving()
        with socket.create_connection(("127.0.0.1", running.port), timeout=20) as client:
            client.sendall(request("/"))
            eventually(lambda: "asked" in running.log())
            running.process.kill()
            assert running.ended(20)
