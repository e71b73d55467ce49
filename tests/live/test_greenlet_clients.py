"""Clients that block, used in views of the greenlet runner: none of them blocks the server.

1,000 requests that each wait for a second would take 1,000 s if they did. The figures are printed
(``pytest -s``); what they are on a quiet machine is in the documentation.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from tests.support.hosts import ADDRESS, Command, Host, bridge, start
from tests.support.redis import PROGRAM, needs_redis, redis, redis_url
from tests.support.waiting import eventually

VIEWS = "tests.support.apps.waiting_clients:app"
UPSTREAM = "tests.support.apps.slow_upstream:app"
#: Seconds in which all are done on a machine that has other things to do. One after the other,
#: they would take as many seconds as there are requests.
PATIENCE = 60
MOST_MEGABYTES = 150
#: Views that keep their connections: the second time they have them already.
KEPT = {"/kept-tls", "/redis"}


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """How the server with the views is started; the servers that these ask run."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    chain = folder / "server.pem"
    authority.issue_cert(ADDRESS).private_key_and_cert_chain_pem.write_to_path(str(chain))
    files = (f"--ssl-certfile={chain}", f"--ssl-keyfile={chain}")
    with ExitStack() as stack:
        plain = stack.enter_context(start(bridge(UPSTREAM, "--no-access-log")))
        tls = stack.enter_context(start(bridge(UPSTREAM, *files, "--no-access-log")))
        command = bridge(VIEWS, "--runner=greenlet", "--patch", "--no-access-log").with_env(
            UPSTREAM=plain.url("/"),
            UPSTREAM_TLS=tls.url("/").replace("http:", "https:"),
            AUTHORITY=str(folder / "authority.pem"),
        )
        if shutil.which(PROGRAM):
            command = command.with_env(REDIS=redis_url(stack.enter_context(start(redis()))))
        yield command


@pytest.fixture
def server(views: Command) -> Iterator[Host]:
    """The server with the views, for one test: what others have kept does not count."""
    with start(views) as host:
        yield host


async def ask(host: Host, path: str) -> tuple[int, bytes]:
    """The status and the body of the response."""
    reader, writer = await asyncio.open_connection(host.address, host.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split(b" ")[1]), body


def asked(host: Host, path: str) -> tuple[int, bytes]:
    """`ask`, alone."""
    return asyncio.run(ask(host, path))


def status(host: Host, name: str) -> int:
    """A number of the process, as the kernel has it; 0 if this kernel does not tell."""
    try:
        lines = Path(f"/proc/{host.process.pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def cpu_seconds(host: Host) -> float:
    """What the process has had of the processors; 0 if this kernel does not tell."""
    try:
        fields = Path(f"/proc/{host.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def many(host: Host, path: str, count: int) -> int:
    """Ask `count` times at once; returns the most threads that the server had meanwhile."""
    requests = [asyncio.create_task(ask(host, path)) for _ in range(count)]
    threads = 0
    pending = set(requests)
    while pending:
        _, pending = await asyncio.wait(pending, timeout=0.1)
        threads = max(threads, status(host, "Threads"))
    for request in requests:
        code, body = await request
        assert code == 200, body
    return threads


@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("/requests", 1000),
        ("/tls", 1000),
        ("/kept-tls", 1000),
        ("/sleep", 1000),
        pytest.param("/redis", 1000, marks=needs_redis),
        ("/urllib3", 100),
        ("/httpx", 100),
        ("/urllib", 100),
    ],
)
def test_all_at_once(server: Host, path: str, count: int) -> None:
    """G8: requests that wait for another server, or a time, do so side by side on one thread."""
    assert asyncio.run(many(server, path, 2))
    threads = status(server, "Threads")
    for _ in range(2 if path in KEPT else 1):
        begin, cpu = time.monotonic(), cpu_seconds(server)
        most_threads = asyncio.run(many(server, path, count))
        took, cpu = time.monotonic() - begin, cpu_seconds(server) - cpu
        megabytes = status(server, "VmHWM") / 1024
        print(
            f"{path}: {count} requests of 1 s took {took:.2f} s, {cpu:.2f} s of CPU, "
            f"{most_threads} threads, at most {megabytes:.0f} MB"
        )
        assert took < PATIENCE
        assert most_threads <= threads
        assert megabytes < MOST_MEGABYTES


def test_time_is_up(server: Host) -> None:
    """G8: a timeout of `requests` fires, with its own error."""
    code, body = asked(server, "/little-time?0.1")
    assert code == 502
    assert body.startswith(b"requests.exceptions.ReadTimeout: ")
    assert b"Read timed out. (read timeout=0.1)" in body


def test_refused(server: Host) -> None:
    """G8: a server that is not there is the error that `requests` has for it."""
    with socket.socket() as bound:
        bound.bind((ADDRESS, 0))
        code, body = asked(server, f"/refused?{bound.getsockname()[1]}")
    assert code == 502
    assert body.startswith(b"requests.exceptions.ConnectionError: ")
    assert b"Connection refused" in body


def test_cut(server: Host) -> None:
    """G8: a server that ends in the middle of its response is the error that `requests` has."""
    code, body = asked(server, "/requests?cut")
    assert code == 502
    assert body.startswith(b"requests.exceptions.ChunkedEncodingError: ")


def test_client_that_leaves(server: Host) -> None:
    """G8: a view that waits for another server goes on if its client leaves, as in a thread."""

    async def leave() -> None:
        _, writer = await asyncio.open_connection(server.address, server.port)
        writer.write(b"GET /noted?leaver HTTP/1.1\r\nHost: x\r\n\r\n")
        while (await ask(server, "/ended?leaver"))[1] != b"begun":
            await asyncio.sleep(0.01)
        writer.transport.abort()

    asyncio.run(leave())
    eventually(lambda: asked(server, "/ended?leaver")[1] == b"answered")
