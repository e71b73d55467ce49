"""Signals: which servers are told, whatever the process does; what is put back (P2, P5)."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

from bridge.server.lifecycle.signals import Interrupted, Signals
from tests.conftest import StartHost
from tests.support.hosts import bridge
from tests.support.raw import Client, request
from tests.support.site import app_source, running
from tests.support.waiting import eventually

ASGI = "tests.support.apps.http_rules:app"
WSGI = "tests.support.apps.wsgi_ways:app"
BOTH = pytest.mark.parametrize("app", [ASGI, WSGI], ids=["asgi", "wsgi"])
STOPS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)


# ------------------------------------------------------------- what is in flight


@BOTH
def test_second_sigterm_changes_nothing(start_host: StartHost, app: str, tmp_path: Path) -> None:
    """P2: platforms send SIGTERM twice: to the group, and from the parent; nothing is lost."""
    host = start_host(bridge(app, "--no-access-log"))
    with Client(host.connect()) as client:
        client.send(request(f"/until?{tmp_path}/note"))
        with Client(host.connect()) as other:
            other.get("/")
        host.process.send_signal(signal.SIGTERM)
        eventually(lambda: "stopping: 1 request is still busy" in host.log())
        host.process.send_signal(signal.SIGTERM)
        (tmp_path / "note").touch()
        assert client.response().status == 200
        host.process.send_signal(signal.SIGTERM)
    assert host.process.wait(15) == 0
    assert host.log().rstrip().endswith("stopped")


# ------------------------------------------------------------- while the app is imported

#: Sleeps in small pieces: a signal that comes just before a sleep is seen only after it.
SLEEP = "for _ in range(100_000): time.sleep(0.01)\n"


@STOPS
def test_import_that_takes_long(tmp_path: Path, number: signal.Signals) -> None:
    """P2: an app that is still being imported is given up at once."""
    slow = f"import time\nprint('begun', flush=True)\n{SLEEP}"
    with running(tmp_path, slow) as server:
        server.wait_for("begun")
        server.send_signals(number)
        assert server.process.wait(15) == 0
        assert "told to stop before the app was imported" in server.log()
        assert "Traceback" not in server.log()


@STOPS
def test_import_that_swallows_the_first_signal(tmp_path: Path, number: signal.Signals) -> None:
    """P2: a file with ``app.run()`` at its end ends that one first; nothing is served after it."""
    swallows = (
        "import time\n"
        "try:\n"
        "    print('begun', flush=True)\n"
        f"    {SLEEP}"
        "except KeyboardInterrupt:\n    pass\n"
    )
    with running(tmp_path, swallows + app_source()) as server:
        server.wait_for("begun")
        server.send_signals(number)
        assert server.process.wait(15) == 0
        assert "running on" not in server.log()


# ------------------------------------------------------------- several servers, other handlers


def test_two_servers_in_one_program(tmp_path: Path) -> None:
    """P2: SIGTERM stops each; afterwards the program has its own handlers again."""
    code = """
import asyncio, os, signal
from bridge.server import Config, Server
from site_app import app

def own(number, frame): print("own handler", flush=True)

async def main():
    servers = [Server(Config(app=app, port=0)) for _ in range(2)]
    tasks = [asyncio.ensure_future(server.serve()) for server in servers]
    while not all(server.addresses for server in servers):
        await asyncio.sleep(0.01)
    print("both", flush=True)
    await asyncio.gather(*tasks)
    print("ended", flush=True)

for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, own)
asyncio.run(main())
print(all(signal.getsignal(n) is own for n in (1, 2, 10, 12, 15)), flush=True)
"""
    with running(tmp_path, app_source(), code=code) as server:
        server.wait_for("both")
        server.send_signals(signal.SIGTERM)
        assert server.process.wait(15) == 0
        lines = server.log().splitlines()
        assert lines[-2:] == ["ended", "True"]
        assert "own handler" not in lines


def test_signal_after_one_of_two_has_stopped(tmp_path: Path) -> None:
    """P2: the one that stops first does not take the other's signals along."""
    code = """
import asyncio
from bridge.server import Config, Server
from site_app import app

async def main():
    servers = [Server(Config(app=app, port=0)) for _ in range(2)]
    tasks = [asyncio.ensure_future(server.serve()) for server in servers]
    while not all(server.addresses for server in servers):
        await asyncio.sleep(0.01)
    servers[1].request_stop()
    await tasks[1]
    print("one", flush=True)
    await tasks[0]

asyncio.run(main())
"""
    with running(tmp_path, app_source(), code=code) as server:
        server.wait_for("one")
        server.send_signals(signal.SIGTERM)
        assert server.process.wait(15) == 0


FORKS = """
import multiprocessing, os, signal, time, warnings
warnings.simplefilter("ignore")
def rest(): time.sleep(1000)
def end_children():
    child = multiprocessing.get_context("fork").Process(target=rest)
    child.start()
    child.terminate()
    child.join(10)
    pid = os.fork()
    if not pid:
        time.sleep(1000)
    os.kill(pid, signal.SIGTERM)
    return f"{child.exitcode} {os.waitpid(pid, 0)[1]}".encode()
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError
    answer = end_children()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": answer})
def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [end_children()]
"""


@pytest.mark.parametrize("kind", ["", "app = wsgi"], ids=["asgi", "wsgi"])
def test_children_of_a_fork_can_be_terminated(tmp_path: Path, kind: str) -> None:
    """P2: a child that the app forks has no handler of the server, and the server none of its."""
    with running(tmp_path, FORKS + kind) as server:
        server.wait_for("running on")
        with Client(server.connect()) as client:
            assert client.get("/").body == b"-15 15"
            assert client.get("/").status == 200  # it was not told itself
        server.send_signals(signal.SIGTERM)
        assert server.process.wait(15) == 0


# ------------------------------------------------------------- SIGHUP, SIGUSR1


def test_signals_that_stop_nothing(tmp_path: Path) -> None:
    """P5 S50: SIGUSR1 opens moved log files again; it stops nothing, nor does SIGHUP."""
    (tmp_path / "logging.json").write_text(
        '{"handlers": {"file": {"class": "logging.FileHandler", "filename": "error.log"}},'
        ' "loggers": {"bridge": {"handlers": ["file"]}}}'
    )
    with running(tmp_path, app_source(), "--log-config=logging.json") as server:
        old, new = tmp_path / "old.log", tmp_path / "error.log"
        eventually(lambda: new.exists() and "running on" in new.read_text(), timeout=30)
        server.send_signals(signal.SIGUSR1)
        eventually(lambda: "no log file has moved" in new.read_text())
        new.rename(old)
        server.send_signals(signal.SIGUSR1)
        eventually(lambda: new.exists() and "opened again" in new.read_text())
        server.send_signals(signal.SIGHUP)
        eventually(lambda: "SIGHUP" in new.read_text())
        with Client(server.connect()) as client:
            assert client.get("/").status == 200
        server.send_signals(signal.SIGTERM)
        assert server.process.wait(15) == 0
        assert "opened again" not in old.read_text()


def test_sigint_that_was_ignored_at_the_start(tmp_path: Path) -> None:
    """P2: as in uvicorn and Gunicorn SIGINT stops also what a shell has started with ``&``."""
    code = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        "os.execv(sys.executable, [sys.executable, '-m', 'bridge', 'serve', 'site_app:app',"
        " '--port', 'PORT'])"
    )
    with running(tmp_path, app_source(), code=code) as server:
        server.wait_for("running on")
        server.send_signals(signal.SIGINT)
        assert server.process.wait(15) == 0


# ------------------------------------------------------------- the table, in one process


def test_each_table_is_asked_for_its_own() -> None:
    """P2: of several tables those that want a signal are called, whatever one of them raises."""
    called: list[str] = []

    def interrupts() -> None:
        called.append("first")
        raise Interrupted

    tables = (
        {signal.SIGUSR1: interrupts},
        {signal.SIGUSR2: lambda: called.append("other")},
        {signal.SIGUSR1: lambda: called.append("last")},
    )
    before = signal.getsignal(signal.SIGUSR1)
    with Signals(tables[0]), Signals(tables[1]), Signals(tables[2]):
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGUSR1)
        assert called == ["first", "last"]
        signal.raise_signal(signal.SIGUSR2)
        assert called == ["first", "last", "other"]
    assert signal.getsignal(signal.SIGUSR1) == before


def test_a_handler_that_the_app_sets_meanwhile() -> None:
    """P2: it is the app's, and stays."""
    before = signal.getsignal(signal.SIGUSR1)

    def own(number: int, frame: object) -> None:
        """What the app wants."""

    try:
        with Signals({signal.SIGUSR1: lambda: None}):
            signal.signal(signal.SIGUSR1, own)
        assert signal.getsignal(signal.SIGUSR1) is own
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_in_another_thread_nothing_is_done() -> None:
    """P2: only the main thread can have handlers; a server in another is stopped from Python."""
    found: list[object] = []

    def enter() -> None:
        with Signals({signal.SIGUSR1: lambda: None}):
            found.append(signal.getsignal(signal.SIGUSR1))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGUSR1)]


CHILDREN = """
import os, signal, sys
from bridge.server.lifecycle.signals import Signals

def say(who):
    return lambda *_: print(who, flush=True)

def child(code):
    pid = os.fork()
    if not pid:
        os.kill(os.getpid(), signal.SIGUSR1)
        sys.exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)

signal.signal(signal.SIGUSR1, say("program"))
with Signals({signal.SIGUSR1: say("server")}):
    child(1)
    os.kill(os.getpid(), signal.SIGUSR1)
with Signals({signal.SIGUSR1: say("server")}, in_children=say("child's own")):
    child(2)
child(3)
"""


def test_what_children_have(tmp_path: Path) -> None:
    """P2, P10: a child that is forked has the program's handler, or the one meant for it."""
    with running(tmp_path, app_source(), code=CHILDREN) as server:
        assert server.process.wait(15) == 0
        lines = server.log().splitlines()
    assert lines == ["program", "1", "server", "child's own", "2", "program", "3"]
