"""A gateway and workers for tests, each a process of its own, with a Redis between them."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import hosts
from tests.support.hosts import ADDRESS, RUNNING, Command, Host, HostError, python
from tests.support.waiting import eventually

#: What a worker says when it takes requests.
READY = "taking requests from"


def gateway(url: str, *options: str) -> Command:
    """Our gateway, for the Redis at `url`."""
    return python(
        "bridge", "-m", "bridge", "gateway", "--channels", url, f"--host={ADDRESS}",
        "--port={port}", "--no-access-log", *options,
    )  # fmt: skip


def worker_command(url: str, *options: str, **env: str) -> Command:
    """Our worker, for the Redis at `url`; `options` name its app."""
    argv = (sys.executable, "-m", "bridge", "worker", "--channels", url, *options)
    return Command("bridge", argv, env=env)


@contextmanager
def worker(url: str, *options: str, **env: str) -> Iterator[Host]:
    """A worker, as long as the block lasts; it takes requests when the block begins."""
    with tempfile.TemporaryDirectory(prefix="bridge-worker-") as folder:
        host = start_worker(Path(folder, "log"), url, *options, **env)
        try:
            yield host
        finally:
            end_worker(host)


def start_worker(log: Path, url: str, *options: str, **env: str) -> Host:
    """Start a worker; return when it takes requests. `log` is the file of what it prints."""
    host = hosts._spawn(worker_command(url, *options, **env), log)
    RUNNING.append(host)
    try:
        eventually(lambda: READY in host.log() or host.process.poll() is not None, 60)
        if READY not in host.log():
            raise HostError(f"{host} took no requests; it said:\n{host.log()[-8000:]}")
    except BaseException:
        end_worker(host)
        raise
    return host


def end_worker(host: Host) -> None:
    """End a worker, if that has not ended; `HostError` if it hangs."""
    RUNNING.remove(host)
    host.stop()
