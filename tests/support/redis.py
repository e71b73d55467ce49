"""A real Redis for tests, on a port of its own, that keeps nothing on disk."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.hosts import ADDRESS, Command, Host, start
from tests.support.waiting import eventually

PROGRAM = shutil.which("redis-server") or "redis-server"

needs_redis = pytest.mark.skipif(
    shutil.which(PROGRAM) is None, reason="needs Debian's package redis-server"
)


def redis(*options: str, port: str = "{port}") -> Command:
    """A Redis without persistence."""
    argv = (PROGRAM, "--port", port, "--bind", ADDRESS, "--save", "", "--appendonly", "no")
    return Command("redis", (*argv, *options))


def redis_url(host: Host, database: int = 0) -> str:
    """The address of one of its databases."""
    return f"redis://{host.address}:{host.port}/{database}"


@contextmanager
def started_again(host: Host) -> Iterator[subprocess.Popen[bytes]]:
    """Run a new, empty Redis on the port of one that has ended."""
    argv = redis(port=str(host.port)).argv
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: _answers(host))
            yield process
        finally:
            process.kill()


def _answers(host: Host) -> bool:
    try:
        host.connect(timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def redis_server() -> Iterator[Host]:
    """A Redis for the tests of one module."""
    with start(redis()) as host:
        yield host
