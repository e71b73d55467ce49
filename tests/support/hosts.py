"""Real servers for tests, each a process of its own.

A `Command` says how a server is started; it is made by the functions named after the servers
(``uvicorn(target)``, ``gunicorn(target, worker="gthread")``, ...) or by hand. `start` runs one::

    with start(uvicorn("tests.support.apps.hello:app")) as host:
        httpx.get(host.url("/"))

`start` gives a `Host` when the server takes connections, and terminates it, by its own pid, when
the block is left. What the server prints goes to a file; if it does not start, that is in the
error, and if a test fails, conftest.py prints what the hosts said meanwhile.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "127.0.0.1"
BRIDGE_WORKER = "bridge.server.gunicorn.BridgeWorker"

#: What is printed comes at once; sets are in the same order in every process, so that answers
#: made from them (Flask's Allow field) can be compared.
ENV = {"PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "0"}

#: How our server runs WSGI apps: each way in which the examples have to work.
RUNNERS = {
    "thread": ("--runner=thread",),
    "greenlet": ("--runner=greenlet",),
    "patched": ("--runner=greenlet", "--patch"),
}

#: The hosts that run now, in order of their start; conftest.py reads their logs.
RUNNING: list[Host] = []


class HostError(Exception):
    """A server did not start or did not stop; the text has the end of its log."""


# ------------------------------------------------------------- commands


@dataclass(frozen=True)
class Command:
    """How to start a server: `argv`, in which ``{port}`` stands for the port to listen on.

    `files`, by name, are written into a folder that lasts as long as the server; ``{folder}`` in
    `argv` and in the files stands for it.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict, hash=False)
    cwd: Path = ROOT
    files: Mapping[str, str] = field(default_factory=dict, hash=False)

    def with_env(self, **env: str) -> Command:
        """The same command with more environment variables."""
        return replace(self, env={**self.env, **env})


def python(name: str, *args: str) -> Command:
    """Run this Python with `args`, e.g. ``python("wsgiref", "-m", "tests.support.on_wsgiref")``."""
    return Command(name, (sys.executable, *args))


def bridge(*args: str) -> Command:
    """Our server: ``bridge("module:app")`` or ``bridge("--mount", "/=module:app")``."""
    return python(
        "bridge", "-m", "bridge", "serve", *args, f"--host={ADDRESS}", "--port={port}"
    )  # fmt: skip


def uvicorn(target: str, *options: str) -> Command:
    """Uvicorn, with uvloop and httptools if they are installed, without its access log."""
    return python(
        "uvicorn", "-m", "uvicorn", target, f"--host={ADDRESS}", "--port={port}",
        "--no-access-log", *options,
    )  # fmt: skip


def hypercorn(target: str, *options: str) -> Command:
    """Hypercorn with one worker on asyncio."""
    bind = f"--bind={ADDRESS}:{{port}}"
    return python("hypercorn", "-m", "hypercorn", bind, *options, target)


def gunicorn(target: str, *options: str, worker: str = "gthread", threads: int = 4) -> Command:
    """Gunicorn with one worker of the class `worker`; `threads` counts for ``gthread`` only."""
    pool = (f"--threads={threads}",) if worker == "gthread" else ()
    return python(
        f"gunicorn-{worker.rpartition('.')[2]}", "-m", "gunicorn", f"--bind={ADDRESS}:{{port}}",
        f"--worker-class={worker}", *pool, "--no-control-socket", *options, target,
    )  # fmt: skip


def waitress(target: str, *options: str) -> Command:
    """Waitress with its pool of threads."""
    listen = f"--listen={ADDRESS}:{{port}}"
    return python("waitress", "-m", "waitress", listen, *options, target)


def cheroot(target: str, *options: str) -> Command:
    """Cheroot with its pool of threads."""
    bind = f"--bind={ADDRESS}:{{port}}"
    return python("cheroot", "-m", "cheroot", bind, *options, target)


def migrate(database: Path) -> None:
    """Make the SQLite file of the Django example; ``EXAMPLE_DATABASE`` names it to the app."""
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity=0"],
        cwd=ROOT / "examples" / "django_on_bridge",
        env={**os.environ, "EXAMPLE_DATABASE": str(database), "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=60,
    )


# ------------------------------------------------------------- running ones


class Host:
    """A server that runs: where it listens (`port`), its process, and what it has printed."""

    def __init__(self, command: Command, port: int, process: subprocess.Popen[bytes], log: Path):
        self.name = command.name
        self.address = ADDRESS
        self.port = port
        self.process = process
        self.log_file = log

    def url(self, path: str = "/", scheme: str = "http") -> str:
        """The URL of `path` on this server."""
        return f"{scheme}://{self.address}:{self.port}{path}"

    def connect(self, timeout: float = 10) -> socket.socket:
        """A new TCP connection to the server; its calls raise `TimeoutError` after `timeout` s."""
        return socket.create_connection((self.address, self.port), timeout=timeout)

    def log(self, offset: int = 0) -> str:
        """What the server has printed, from byte `offset` on."""
        return self.log_file.read_bytes()[offset:].decode(errors="replace")

    def log_size(self) -> int:
        """How many bytes the server has printed."""
        return self.log_file.stat().st_size

    def stop(self, timeout: float = 15) -> int:
        """SIGTERM and wait for the end; its exit code. `HostError` if it has to be killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise HostError(
                f"{self} was still there {timeout} s after SIGTERM{self._said()}"
            ) from None

    def kill(self) -> None:
        """End the server and the processes that it started, at once."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # a group of its own: see `_spawn`
        except ProcessLookupError:
            pass
        self.process.wait()

    def wait_until_ready(self, timeout: float) -> None:
        """Return when a connection is taken; `HostError` if the process ends or time is up."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise HostError(f"{self} ended with code {self.process.returncode}{self._said()}")
            try:
                self.connect(timeout=1).close()
            except OSError:
                time.sleep(0.02)  # the pace of asking, nothing depends on it
            else:
                return
        raise HostError(f"{self} took no connection within {timeout} s{self._said()}")

    def _said(self) -> str:
        return f"; it said:\n{self.log()[-8000:] or '(nothing)'}"

    def __str__(self) -> str:
        return f"{self.name} on port {self.port} (pid {self.process.pid})"


#: The ports that were given last: one that was asked for may not be listened at yet.
_GIVEN: deque[int] = deque(maxlen=64)


def free_port() -> int:
    """A port on which nothing listens now, outside the range that outgoing connections use.

    Nothing else takes it before the server does: each process of pytest-xdist has its own ports,
    and none is given twice in a row. Else a test could talk to the server of another. `start` tries
    again if something has.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for _ in range(1000):
        port = random.randrange(20_000 + worker % 16, 32_000, 16)
        if port in _GIVEN:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((ADDRESS, port))
            except OSError:
                continue
            _GIVEN.append(port)
            return port
    raise HostError("found no free port between 20000 and 32000")


@contextmanager
def start(command: Command, *, timeout: float = 30) -> Iterator[Host]:
    """Run the server for as long as the block lasts; `timeout` bounds its start, in seconds."""
    with tempfile.TemporaryDirectory(prefix="bridge-host-", ignore_cleanup_errors=True) as folder:
        if command.files:
            os.chmod(folder, 0o755)  # a server that was started by root may not be root itself
        for name, text in command.files.items():
            Path(folder, name).write_text(text.replace("{folder}", folder))
        host = _start(command, Path(folder), timeout)
        RUNNING.append(host)
        try:
            yield host
        finally:
            RUNNING.remove(host)
            _end(host)


def _end(host: Host) -> None:
    """Stop the server. That ours hangs at its end is a failure; another's is only killed."""
    try:
        host.stop()
    except HostError:
        if host.name == "bridge":
            raise


def _start(command: Command, folder: Path, timeout: float) -> Host:
    for attempt in range(5):
        host = _spawn(command, folder / f"{attempt}.log")
        try:
            host.wait_until_ready(timeout)
        except HostError:
            host.kill()
            if "in use" not in host.log() or attempt == 4:
                raise
        except BaseException:
            host.kill()
            raise
        else:
            return host
    raise AssertionError("the last attempt returns or raises")


def _spawn(command: Command, log: Path) -> Host:
    port = free_port()
    argv = [
        word.replace("{port}", str(port)).replace("{folder}", str(log.parent))
        for word in command.argv
    ]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "PYTHONPATH": path, **ENV, **command.env}
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv,
            cwd=command.cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal stops the tests, and they the server
        )
    return Host(command, port, process, log)
