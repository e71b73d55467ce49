"""Clients that take what they are sent get all of it, however late the loop is (S2, W36).

The fault that this guards against: on a busy machine, a client that had taken everything so far was
held for one that takes nothing, and its download cut.
"""

from __future__ import annotations

import http.client
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme

from tests.conftest import StartHost
from tests.support.apps.known_bytes import CONTENT, SIZE
from tests.support.hosts import BRIDGE_WORKER, Command, Host, bridge, gunicorn

APP = "tests.support.apps.known_bytes"
QUIET = ("--no-access-log", "--timeout-write=1")
#: Downloads from each host, by so many clients at a time.
DOWNLOADS, CLIENTS = 2500, 16
#: Busy processes beside them. In a parallel run the other tests keep the cores busy, too.
BUSY = 3 if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) < 3 else 1
#: Once in so many downloads the loop is held up for longer than `timeout_write`.
HOLD = 500
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
