"""Signals: who is told, whatever the process does; and what is put back (P2, P5)."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import StartHost
from tests.support.hosts import ROOT, bridge, free_port
from tests.support.raw import Client, request
from tests.support.waiting import eventually

ASGI = "tests.support.apps.http_rules:app"
WSGI = "tests.support.apps.wsgi_ways:app"
BOTH = pytest.mark.parametrize("app", [ASGI, WSGI], ids=["asgi", "wsgi"])
STOPS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)

#: Blocks in C code, which sees to no signal: a mutex is locked twice.
STUCK = """
import ctypes
def stuck():
    mutex = ctypes.create_string_buffer(128)
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(mutex)
"""
#: An app that answers at once; `{work}` comes before that.
APP = """
import asyncio, os, signal, sys, time
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        {start}
        await send({{"type": "lifespan.startup.complete"}})
        await receive()
        await send({{"type": "lifespan.shutdown.complete"}})
        return
    print("asked", flush=True)
    {work}
    await send({{"type": "http.response.start", "status": 200}})
    await send({{"type": "http.response.body", "body": b"done"}})
"""


def app(work: str = "pass", start: str = "pass") -> str:
    return APP.format(work=work, start=start)


class Process:
    """A server of ours, which may never come to serving: its process, and what it has said."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, port: int) -> None:
        self.process, self._log, self.port = process, log, port

    def log(self) -> str:
        return self._log.read_text()

    def wait_for(self, said: str) -> None:
        eventually(lambda: said in self.log(), timeout=30)

    def tell(self, *numbers: signal.Signals) -> None:
        for number in numbers:
            self.process.send_signal(number)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def ask(self) -> Client:
        """A request, which the app has begun to answer."""
        self.wait_for("running on")
        client = Client(self.connect())
        client.send(request("/"))
        self.wait_for("asked")
        return client


@contextmanager
def running(folder: Path, source: str, *options: str, code: str = "") -> Iterator[Process]:
    """`source` as module ``site_app`` served from the shell; or `code`, run by itself."""
    (folder / "site_app.py").write_text(source)
    port = free_port()
    serve = ("-m", "bridge", "serve", "site_app:app", f"--port={port}", "--no-access-log", *options)
    argv = [sys.executable, *(("-c", code.replace("PORT", str(port))) if code else serve)]
    log = folder / "log"
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Process(process, log, port)
    finally:
        process.kill()
        process.wait()


# ------------------------------------------------------------- what is in flight


@BOTH
def test_second_sigterm_changes_nothing(start_host: StartHost, app: str) -> None:
    """P2: platforms send SIGTERM twice: to the group, and from the parent; nothing is lost."""
    host = start_host(bridge(app, "--no-access-log"))
    with Client(host.connect()) as client:
        client.send(request("/sleep?1"))
        with Client(host.connect()) as other:
            other.get("/")
        host.process.send_signal(signal.SIGTERM)
        eventually(lambda: "stopping: 1 request is still busy" in host.log())
        host.process.send_signal(signal.SIGTERM)
        assert client.response().status == 200
        host.process.send_signal(signal.SIGTERM)
    assert host.process.wait(15) == 0
    assert host.log().rstrip().endswith("stopped")


# ------------------------------------------------------------- while the app is imported


@STOPS
def test_import_that_takes_long(tmp_path: Path, number: signal.Signals) -> None:
    """P2: an app that is still being imported is given up at once."""
    slow = "print('begun', flush=True)\nimport time\ntime.sleep(1000)\n"
    with running(tmp_path, slow) as server:
        server.wait_for("begun")
        server.tell(number)
        assert server.process.wait(15) == 0
        assert "told to stop before the app was imported" in server.log()
        assert "Traceback" not in server.log()


@STOPS
def test_import_that_swallows_the_first_signal(tmp_path: Path, number: signal.Signals) -> None:
    """P2: a file with ``app.run()`` at its end ends that one first; nothing is served after it."""
    swallows = (
        "import time\n"
        "print('begun', flush=True)\n"
        "try:\n    time.sleep(1000)\nexcept KeyboardInterrupt:\n    pass\n"
    )
    with running(tmp_path, swallows + app()) as server:
        server.wait_for("begun")
        server.tell(number)
        assert server.process.wait(15) == 0
        assert "running on" not in server.log()


HANGS = {
    "swallows all": "while True:\n    try:\n        import time; time.sleep(9)\n"
    "    except BaseException:\n        print('again', flush=True)\n",
    "in C code": f"{STUCK}\nstuck()\n",
}


@pytest.mark.parametrize("hangs", HANGS.values(), ids=HANGS.keys())
def test_import_that_cannot_be_interrupted(tmp_path: Path, hangs: str) -> None:
    """P2: a second SIGINT ends the process, whatever the import does."""
    with running(tmp_path, f"print('begun', flush=True)\n{hangs}") as server:
        server.wait_for("begun")
        server.tell(signal.SIGINT)
        if "again" in hangs:
            server.wait_for("again")
        else:
            eventually(lambda: not _pending(server.process.pid, signal.SIGINT))
        server.tell(signal.SIGINT)
        # Or it was interrupted just before it got stuck, and the second one came at the very end.
        assert server.process.wait(15) in (130, 0, -signal.SIGINT)


def _pending(pid: int, number: signal.Signals) -> bool:
    """Whether a signal has not reached the process yet (Linux); a second one would be lost."""
    with open(f"/proc/{pid}/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    masks = int(fields["SigPnd"], 16) | int(fields["ShdPnd"], 16)
    return bool(masks >> (number - 1) & 1)


# ------------------------------------------------------------- while something blocks


@pytest.mark.parametrize("hangs", ["time.sleep(1000)", "stuck()"])
def test_blocking_lifespan(tmp_path: Path, hangs: str) -> None:
    """P2: a startup that blocks the loop ends with a second SIGINT, and after SIGTERM in 5 s."""
    for numbers, code in (([signal.SIGINT] * 2, 130), ([signal.SIGTERM], 143)):
        source = STUCK + app(start=f"print('begun', flush=True); {hangs}")
        with running(tmp_path, source) as server:
            server.wait_for("begun")
            for number in numbers:
                eventually(lambda: not _pending(server.process.pid, signal.SIGINT))
                server.tell(number)
            assert server.process.wait(20) == code


@pytest.mark.parametrize("hangs", ["time.sleep(1000)", "stuck()"])
def test_blocked_loop(tmp_path: Path, hangs: str) -> None:
    """P2: a handler that blocks the loop is cut by a second SIGINT."""
    with running(tmp_path, STUCK + app(hangs)) as server, server.ask():
        server.tell(signal.SIGINT)
        eventually(lambda: not _pending(server.process.pid, signal.SIGINT))
        server.tell(signal.SIGINT)
        assert server.process.wait(15) == 130


@pytest.mark.parametrize("hangs", ["time.sleep, 1000", "stuck"])
def test_hung_thread_of_the_loop(tmp_path: Path, hangs: str) -> None:
    """P2: ``asyncio.to_thread`` that never ends: cut by a second SIGINT, and by the grace."""
    source = STUCK + app(f"await asyncio.to_thread({hangs})")
    with running(tmp_path, source) as server, server.ask():
        server.tell(signal.SIGINT)
        server.wait_for("stopping: 1 request is still busy")
        server.tell(signal.SIGINT)
        assert server.process.wait(15) == 0
    with running(tmp_path, source, "--timeout-graceful-shutdown=0.3") as server, server.ask():
        server.tell(signal.SIGTERM)
        assert server.process.wait(15) == 0
        assert "left threads behind" in server.log()


def test_hung_thread_of_the_pool(tmp_path: Path) -> None:
    """P2: a WSGI app that never returns: cut by a second SIGINT, and by the grace."""
    source = (
        f"{STUCK}\ndef app(environ, start_response):\n    print('asked', flush=True)\n    stuck()"
    )
    with running(tmp_path, source) as server, server.ask():
        server.tell(signal.SIGINT)
        server.wait_for("stopping: 1 request is still busy")
        server.tell(signal.SIGINT)
        assert server.process.wait(15) == 0
    with running(tmp_path, source, "--timeout-graceful-shutdown=0.3") as server, server.ask():
        server.tell(signal.SIGTERM)
        assert server.process.wait(15) == 0


def test_thread_of_the_app_that_never_ends(tmp_path: Path) -> None:
    """P2: nor do the app's own threads keep the process beyond the grace."""
    source = (
        f"import threading, time\nthreading.Thread(target=time.sleep, args=[1000]).start()\n{app()}"
    )
    with running(tmp_path, source, "--timeout-graceful-shutdown=0.5") as server:
        server.wait_for("running on")
        server.tell(signal.SIGTERM)
        assert server.process.wait(15) == 0


def test_thread_of_the_app_that_is_waited_for(tmp_path: Path) -> None:
    """P2: an exit that waits for the app's own threads says so, and CTRL+C ends it."""
    source = (
        "import threading, time\n"
        f"threading.Thread(target=time.sleep, args=[1000], name='mail').start()\n{app()}"
    )
    with running(tmp_path, source) as server:
        server.wait_for("running on")
        server.tell(signal.SIGTERM)
        server.wait_for("the process waits for 1 thread of the app: mail")
        server.tell(signal.SIGINT)
        assert server.process.wait(15) == -signal.SIGINT


def test_signal_that_the_app_takes_itself(tmp_path: Path) -> None:
    """P2: a signal for which the app has set a handler of its own does not end the process."""
    code = """
import os, signal
from bridge.server.lifecycle.signals import Signals
ear, mouth = os.pipe()
os.set_blocking(mouth, False)
with Signals({signal.SIGINT: lambda: None}, limit=lambda: 0.0) as signals:
    signal.set_wakeup_fd(mouth)
    signals.listen()
    signal.signal(signal.SIGINT, lambda number, frame: None)
    for _ in range(20):
        os.kill(os.getpid(), signal.SIGINT)
        assert os.read(ear, 1)  # the guard has heard it
    print("alive", flush=True)
"""
    with running(tmp_path, app(), code=code) as server:
        assert server.process.wait(15) == 0
        assert "alive" in server.log()


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
    with running(tmp_path, app(), code=code) as server:
        server.wait_for("both")
        server.tell(signal.SIGTERM)
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
    with running(tmp_path, app(), code=code) as server:
        server.wait_for("one")
        server.tell(signal.SIGTERM)
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
        server.tell(signal.SIGTERM)
        assert server.process.wait(15) == 0


# ------------------------------------------------------------- SIGHUP, SIGUSR1


@pytest.mark.parametrize("nohup", [False, True])
def test_terminal_is_closed(tmp_path: Path, nohup: bool) -> None:
    """P2: a server ends with its terminal, unless it was started with nohup."""
    (tmp_path / "site_app.py").write_text(app())
    log = tmp_path / "log"
    child, terminal = pty.fork()
    if not child:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT), 2)
        os.chdir(tmp_path)
        os.environ["PYTHONPATH"] = str(ROOT)
        if nohup:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        argv = [sys.executable, "-m", "bridge", "serve", "site_app:app", "--port=0"]
        os.execv(sys.executable, argv)
    try:
        eventually(lambda: log.exists() and "running on" in log.read_text(), timeout=30)
        os.close(terminal)
        if nohup:
            eventually(lambda: "SIGHUP" in log.read_text())
            os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert ("the terminal was closed" in log.read_text()) != nohup
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise


def test_signals_that_stop_nothing(tmp_path: Path) -> None:
    """P5 S50: SIGUSR1 opens moved log files again; it stops nothing, nor does SIGHUP."""
    (tmp_path / "logging.json").write_text(
        '{"handlers": {"file": {"class": "logging.FileHandler", "filename": "error.log"}},'
        ' "loggers": {"bridge": {"handlers": ["file"]}}}'
    )
    with running(tmp_path, app(), "--log-config=logging.json") as server:
        old, new = tmp_path / "old.log", tmp_path / "error.log"
        eventually(lambda: new.exists() and "running on" in new.read_text(), timeout=30)
        server.tell(signal.SIGUSR1)
        eventually(lambda: "no log file has moved" in new.read_text())
        new.rename(old)
        server.tell(signal.SIGUSR1)
        eventually(lambda: new.exists() and "opened again" in new.read_text())
        server.tell(signal.SIGHUP)
        eventually(lambda: "SIGHUP" in new.read_text())
        with Client(server.connect()) as client:
            assert client.get("/").status == 200
        server.tell(signal.SIGTERM)
        assert server.process.wait(15) == 0
        assert "opened again" not in old.read_text()


def test_sigint_that_was_ignored_at_the_start(tmp_path: Path) -> None:
    """P2: as in uvicorn and Gunicorn SIGINT stops also what a shell has started with ``&``."""
    code = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        "os.execv(sys.executable, [sys.executable, '-m', 'bridge', 'serve', 'site_app:app',"
        " '--port', 'PORT'])"
    )
    with running(tmp_path, app(), code=code) as server:
        server.wait_for("running on")
        server.tell(signal.SIGINT)
        assert server.process.wait(15) == 0
