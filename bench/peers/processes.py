"""A server as a process: started on its core, ready, and surely stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bench.machine.cores import pinned
from bench.peers.environments import ROOT, Tools
from bench.peers.servers import SERVERS

STARTUP = 20.0
SHUTDOWN = 5.0


class Failed(Exception):
    """A server did not start or did not answer as it must; the text is what was seen."""


@dataclass(frozen=True)
class Running:
    process: subprocess.Popen[bytes]
    port: int

    @property
    def pid(self) -> int:
        return self.process.pid


@contextmanager
def running(
    server: str,
    app: str,
    inner: str,
    tools: Tools,
    core: int,
    root: Path = ROOT,
    upstream: str = "",
) -> Iterator[Running]:
    """Start `server` with `app` and give it once it accepts connections; stop it afterwards.

    The code of `root`, a checkout, is served. `upstream` tells the app what it waits for.

    Raises ``Absent`` or ``Failed``, with what the server said last.
    """
    port = free_port()
    arguments = SERVERS[server].arguments(tools, app, port)
    environment = SERVERS[server].environment | {"BENCH_APP": inner, "BENCH_UPSTREAM": upstream}
    with started([*pinned(core), *arguments], environment, port, root) as process:
        yield process


@contextmanager
def started(
    arguments: list[str],
    environment: dict[str, str],
    port: int,
    root: Path = ROOT,
    log: Path | None = None,
) -> Iterator[Running]:
    """Start a program that listens at `port`; the rest is as in `running`.

    What it says goes to the file `log`; None: to one that is thrown away.
    """
    with log.open("w+") if log else tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            cwd=root,
            env=os.environ | {"PYTHONPATH": str(root)} | environment,
            start_new_session=True,
        )
        try:
            if not _accepts(process, port):
                raise Failed(_last_line(said) or "did not accept connections, and said nothing")
            yield Running(process, port)
        except OSError as error:
            raise Failed(f"{error}; the server said: {_last_line(said) or 'nothing'}") from error
        finally:
            _stop(process)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _accepts(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + STARTUP
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False


def _last_line(log: IO[str]) -> str:
    log.seek(0)
    lines = [line.strip() for line in log if line.strip()]
    return lines[-1] if lines else ""


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask; then end whatever is left of the session that this process alone began."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(SHUTDOWN)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
