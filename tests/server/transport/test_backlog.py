"""Clients that take what they are sent get all of it, however late the loop is (S2, W36).

The fault that this guards against: on a busy machine, a client that had taken everything so far was
held for one that takes nothing, and its download cut.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme

from bridge.server.config.config import Config
from bridge.server.transport.backlog import Backlog, acknowledged, in_kernel
from tests.conftest import StartHost
from tests.support.apps.known_bytes import CONTENT, SIZE
from tests.support.hosts import BRIDGE_WORKER, Command, Host, bridge, gunicorn
from tests.support.in_loop import tcp_pair
from tests.support.waiting import eventually

APP = "tests.support.apps.known_bytes"
QUIET = ("--no-access-log", "--timeout-write=1")
#: Downloads from each host, by so many clients at a time.
DOWNLOADS, CLIENTS = 1000, 16
#: Busy processes beside them. In a parallel run the other tests keep the cores busy, too.
BUSY = 3 if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) < 3 else 1
#: Once in so many downloads the loop is held up for longer than `timeout_write`.
HOLD = 200
#: Bytes after which a client leaves that does not want the rest.
ENOUGH = 10_000

_SPIN = """
import os, time
parent, end = os.getppid(), time.monotonic() + 300
while os.getppid() == parent and time.monotonic() < end:
    sum(range(10000))
"""


@pytest.fixture
def pressure() -> Iterator[None]:
    """Other processes that keep every core busy."""
    busy = [subprocess.Popen([sys.executable, "-c", _SPIN]) for _ in range(BUSY)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


def pace(**settings: float) -> Config:
    """Limits: nothing for 5 seconds, or fewer than 10 bytes a second."""
    return Config(app="x:y", timeout_write=5, limit_write_pace=10, **settings)


def test_a_client_that_takes_nothing() -> None:
    """S2: it is too slow when it has taken nothing for too long, and not if it takes something."""
    backlog = Backlog(100, "some")
    assert backlog.look(104, "some", pace()) == ""
    assert backlog.look(105, "more", pace()) == ""
    assert backlog.look(110, "more", pace()) == ""
    assert "--timeout-write" in backlog.look(110.5, "more", pace())


def test_a_client_that_takes_little() -> None:
    """S2: if it is known how much it takes, that has to be enough, over each window of time."""
    backlog = Backlog(100, 0)
    assert backlog.look(104, 30, pace()) == ""
    assert backlog.look(106, 60, pace()) == ""
    assert backlog.look(109, 70, pace()) == ""
    assert "--limit-write-pace" in backlog.look(112, 90, pace())


def test_no_limit() -> None:
    """S2: a client may be as slow as it likes if the settings say so."""
    config = Config(app="x:y", timeout_write=0)
    assert Backlog(100, 0).look(1e6, 0, config) == ""


def test_what_the_system_tells() -> None:
    """S2: bytes that the kernel holds for a client, and that it has acknowledged, if known."""
    ours, theirs = tcp_pair()
    assert in_kernel(ours) == 0
    ours.sendall(b"x" * 1000)
    assert theirs.recv(1000, socket.MSG_WAITALL) == b"x" * 1000
    if sys.platform == "linux":
        eventually(lambda: (acknowledged(ours) or 0) >= 1000)
        eventually(lambda: in_kernel(ours) == 0)
    theirs.close()
    ours.close()
    assert in_kernel(ours) is None
    assert acknowledged(ours) is None
    unix, other = socket.socketpair()
    with unix, other:
        assert acknowledged(unix) is None


def _threads(folder: Path) -> tuple[Command, None]:
    return bridge(f"{APP}:wsgi", "--threads=8", *QUIET), None


def _asgi(folder: Path) -> tuple[Command, None]:
    return bridge(f"{APP}:asgi", "--pathsend", *QUIET), None


def _tls(folder: Path) -> tuple[Command, ssl.SSLContext]:
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    leaf.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    certificate = f"--ssl-certfile={folder / 'server.pem'}"
    return bridge(f"{APP}:wsgi", "--threads=8", certificate, *QUIET), context


def _gunicorn(folder: Path) -> tuple[Command, None]:
    command = gunicorn(f"{APP}:wsgi", "--threads=8", "--keep-alive=75", worker=BRIDGE_WORKER)
    return command.with_env(BRIDGE_TIMEOUT_WRITE="1"), None


class Downloads:
    """A client that downloads one thing after the other, and looks at every byte."""

    def __init__(self, host: Host, context: ssl.SSLContext | None) -> None:
        self._host, self._context = host, context
        self._connection: http.client.HTTPConnection | None = None
        self._buffer = memoryview(bytearray(256 * 1024))

    def __call__(self, number: int) -> str:
        """Download number `number`; what was wrong with it, or nothing."""
        if number % HOLD == 50:
            path, size, enough = "/hold?1200", 0, 0
        elif number % 10 == 3:
            path, size, enough = ("/file", "/pieces")[number % 20 > 10], SIZE, ENOUGH
        elif number % 10 == 0:
            path, size, enough = ("/file", "/pieces")[number % 30 == 0], SIZE, SIZE
        else:
            size = enough = number * 7919 % 40_000
            path = f"/small?{size}"
        try:
            return self._download(path, size, enough)
        except (OSError, http.client.HTTPException) as error:
            self._leave()
            return f"{path}: {error!r}"

    def _download(self, path: str, size: int, enough: int) -> str:
        connection = self._connection or self._connect()
        connection.request("GET", path)
        response = connection.getresponse()
        if response.status != 200 or response.length != size:
            self._leave()
            return f"{path}: {response.status} with {response.length} bytes"
        at = 0
        while at < enough:
            count = response.readinto(self._buffer)
            if not count:
                self._leave()
                return f"{path}: ended after {at} of {size} bytes"
            if self._buffer[:count] != CONTENT[at : at + count]:
                self._leave()
                return f"{path}: other bytes from {at} on"
            at += count
        if enough < size:
            self._leave()
        else:
            response.read()
        return ""

    def _connect(self) -> http.client.HTTPConnection:
        host, context = self._host, self._context
        self._connection = (
            http.client.HTTPConnection(host.address, host.port, timeout=60)
            if context is None
            else http.client.HTTPSConnection(host.address, host.port, timeout=60, context=context)
        )
        return self._connection

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def run(self, numbers: range) -> list[str]:
        """All of these downloads; what was wrong."""
        try:
            return [wrong for number in numbers if (wrong := self(number))]
        finally:
            self._leave()


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("way", [_threads, _asgi, _tls, _gunicorn])
@pytest.mark.usefixtures("pressure")
def test_soak_of_downloads(start_host: StartHost, way, file: Path, tmp_path: Path) -> None:
    """S2 W36 W41: beside busy processes, every byte of every download comes."""
    command, context = way(tmp_path)
    host = start_host(command.with_env(FILES_PATH=str(file)))
    with ThreadPoolExecutor(CLIENTS) as pool:
        work = [
            pool.submit(Downloads(host, context).run, range(at, DOWNLOADS, CLIENTS))
            for at in range(CLIENTS)
        ]
        wrong = [each for done in work for each in done.result()]
    assert not wrong, f"{len(wrong)} of {DOWNLOADS}: {wrong[:5]}"
    assert "cut " not in host.log()
