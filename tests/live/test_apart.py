"""Sockets and apps apart, every part a real process: apps of all kinds, streams, WebSockets."""

from __future__ import annotations

import asyncio
import hashlib
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.apart import gateway, worker
from tests.support.hosts import ROOT, Host, migrate, start
from tests.support.redis import needs_redis, redis, redis_url
from tests.support.waiting import eventually

pytestmark = needs_redis

APPS = "tests.support.apps.apart:app"
MiB = 1024 * 1024


class Parts:
    """A Redis, a gateway and a worker."""

    def __init__(self, redis: Host, gateway: Host, worker: Host) -> None:
        self.redis = redis
        self.gateway = gateway
        self.worker = worker
        self.url = redis_url(redis)


@pytest.fixture(scope="module")
def parts() -> Iterator[Parts]:
    """All of them, shared by the tests of this module."""
    with start(redis()) as store:
        url = redis_url(store)
        with start(gateway(url)) as front, worker(url, APPS) as back:
            yield Parts(store, front, back)


def memory_of(host: Host) -> int:
    """The resident memory of its process, in bytes."""
    with open(f"/proc/{host.process.pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


# ------------------------------------------------------------- apps of every kind


def test_apps_of_every_kind(parts: Parts) -> None:
    """L9: Flask, Starlette and ASGI 2 side by side in a Dispatcher, on one worker."""
    host = parts.gateway
    with httpx.Client(base_url=host.url("")) as client:
        name, said, pid = client.get("/flask/hello").text.split()
        assert (name, int(pid)) == ("flask", parts.worker.process.pid)
        assert said == f"{host.address}:{host.port}"
        assert client.get("/star/hello").text == "starlette 127.0.0.1"
        assert client.get("/two/a%20b").text == "two /two/a%20b"
        assert client.get("/nothing").status_code == 404
        assert client.head("/flask/hello").status_code == 200


@pytest.mark.parametrize("target", ["mysite.wsgi:application", "mysite.asgi:application"])
def test_django(parts: Parts, tmp_path: Path, target: str) -> None:
    """L9: a project of Django as it is, WSGI and ASGI: the database, a form, a long answer."""
    database = tmp_path / "db.sqlite3"
    migrate(database)
    own = ("--channels-prefix", target.replace(":", "."))
    project = str(ROOT / "examples" / "django_on_bridge")
    options = (target, "--app-dir", project, *own)
    with start(gateway(parts.url, *own)) as front, \
            worker(parts.url, *options, EXAMPLE_DATABASE=str(database)), \
            httpx.Client(base_url=front.url(""), timeout=30) as client:  # fmt: skip
        token = re.findall(r'csrfmiddlewaretoken" value="(\w+)"', client.get("/").text)[0]
        form = {"text": "from a test", "csrfmiddlewaretoken": token}
        assert client.post("/add", data=form).status_code == 302
        assert "from a test" in client.get("/notes.json").json()["notes"]
        assert client.post("/add", data={"text": "no token"}).status_code == 403
        assert len(client.get("/download?size=1000000").content) == 1_000_000


def test_a_view_that_raises(parts: Parts) -> None:
    """L13: 500 for the client, and the traceback in the log of the worker."""
    before = parts.worker.log_size()
    assert httpx.get(parts.gateway.url("/flask/raise")).status_code == 500
    eventually(lambda: "this view is broken" in parts.worker.log(before))
    assert "this view is broken" not in parts.gateway.log()


# ------------------------------------------------------------- streams


@pytest.mark.parametrize("path", ["/flask/stream/640", "/star/give/640"])
def test_a_long_download(parts: Parts, path: str) -> None:
    """L9: 10 MiB in pieces arrive whole."""
    assert len(httpx.get(parts.gateway.url(path), timeout=60).content) == 10 * MiB


def test_a_long_upload(parts: Parts) -> None:
    """L9: 10 MiB, with a length and in chunks, arrive whole."""
    data = b"".join(b"%015d\n" % number for number in range(10 * MiB // 16))
    wanted = hashlib.sha256(data).hexdigest()
    url = parts.gateway.url("/flask/digest")
    assert httpx.post(url, content=data, timeout=60).text == wanted
    chunks = (data[at : at + 50_000] for at in range(0, len(data), 50_000))
    assert httpx.post(url, content=chunks, timeout=60).text == wanted


def given(parts: Parts) -> int:
    """Bytes that the app has given."""
    return int(httpx.get(parts.gateway.url("/star/moved")).text)


def memory_of_all(parts: Parts) -> list[int]:
    """The memory of gateway, worker and Redis."""
    return [memory_of(each) for each in (parts.gateway, parts.worker, parts.redis)]


def test_a_slow_reader_slows_the_app(parts: Parts) -> None:
    """L9: of 256 MiB no more than windows and socket buffers is under way, in any process."""
    memory, before = memory_of_all(parts), given(parts)
    with parts.gateway.connect(timeout=30) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        client.sendall(b"GET /star/give/16384 HTTP/1.1\r\nHost: x\r\n\r\n")
        got, ahead = 0, 0
        while got < 8 * MiB:
            got += len(client.recv(256 * 1024))
            ahead = max(ahead, given(parts) - before - got)
        grown = [new - old for new, old in zip(memory_of_all(parts), memory, strict=True)]
    print(
        f"\na slow reader: the app was {ahead / MiB:.1f} MiB ahead at most; memory grew by "
        f"{[round(each / MiB, 1) for each in grown]} MiB (gateway, worker, Redis)"
    )
    assert ahead < 16 * MiB
    assert all(each < 32 * MiB for each in grown)
    last = given(parts)
    eventually(lambda: given(parts) == last, pause=0.2)  # it has heard that its client left


def test_a_slow_app_slows_the_upload(parts: Parts) -> None:
    """L9: a client can send no more to an app that takes nothing than windows and buffers hold."""
    memory, size = memory_of_all(parts), 64 * MiB
    with parts.gateway.connect(timeout=2) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        head = f"POST /star/take HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
        client.sendall(head.encode())
        sent = 0
        try:
            while sent < size:
                sent += client.send(b"y" * min(64 * 1024, size - sent))
        except TimeoutError:
            pass
        grown = [new - old for new, old in zip(memory_of_all(parts), memory, strict=True)]
        print(
            f"\nan app that takes nothing: the client could send {sent / MiB:.1f} MiB; memory grew "
            f"by {[round(each / MiB, 1) for each in grown]} MiB (gateway, worker, Redis)"
        )
        assert sent < 16 * MiB
        assert all(each < 32 * MiB for each in grown)
        httpx.get(parts.gateway.url("/star/go"))
        client.settimeout(60)
        client.sendall(b"y" * (size - sent))
        answer = client.recv(4096)
        while str(size).encode() not in answer:
            more = client.recv(4096)
            assert more, answer
            answer += more


# ------------------------------------------------------------- WebSockets


def test_websockets(parts: Parts) -> None:
    """L9: messages both ways on the worker that has accepted; a mount that has none refuses."""
    pid = parts.worker.process.pid
    with connect(parts.gateway.url("/star/echo", "ws"), proxy=None) as client:
        for number in range(200):
            client.send(f"message {number}")
            assert client.recv(timeout=20) == f"message {number} {pid}"
        client.send("y" * 200_000)
        assert client.recv(timeout=20) == "y" * 200_000 + f" {pid}"
    answer = httpx.get(
        parts.gateway.url("/flask/hello"),
        headers={
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AQIDBAUGBwgJCgsMDQ4PEA==",
        },
    )
    assert answer.status_code == 403


# ------------------------------------------------------------- many, and the end


@pytest.mark.slow
def test_a_thousand_at_a_time(tmp_path: object) -> None:
    """L9: 1,000 requests are under way together, over four workers; each is answered by one."""
    with start(redis()) as store:
        url = redis_url(store)
        options = (APPS, "--limit-concurrency", "300")
        log = {"APART_LOG": f"{tmp_path}/notes"}
        with start(gateway(url)) as front, worker(url, *options, **log), \
                worker(url, *options, **log), worker(url, *options, **log), \
                worker(url, *options, **log):  # fmt: skip
            pids = asyncio.run(_all_at_once(front, 1000))
    shares = sorted(pids.count(pid) for pid in set(pids))
    print(f"\n1,000 at a time: the four workers had {shares}")
    assert len(pids) == 1000
    assert len(shares) == 4
    with open(f"{tmp_path}/notes") as notes:
        assert len({line.split()[1] for line in notes}) == 1000


async def _all_at_once(front: Host, number: int) -> list[str]:
    async def ask(at: int) -> str:
        reader, writer = await asyncio.open_connection(front.address, front.port)
        writer.write(
            b"GET /star/note/%d?pause=3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % at
        )
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        assert head.startswith(b"HTTP/1.1 200 "), head
        return body.decode()

    async with asyncio.timeout(60):
        return list(await asyncio.gather(*(ask(at) for at in range(number))))


def test_the_commands_signals(parts: Parts) -> None:
    """L9 P2: SIGTERM ends what is under way, closes WebSockets with 1012, and exits with 0."""
    with worker(parts.url, APPS, BRIDGE_CHANNELS_PREFIX="signals") as back:
        with start(gateway(parts.url, "--channels-prefix", "signals")) as front:
            with connect(front.url("/star/echo", "ws"), proxy=None) as client:
                client.send("one")
                assert client.recv(timeout=20) == f"one {back.process.pid}"
                back.process.send_signal(signal.SIGTERM)
                with pytest.raises(ConnectionClosed):
                    client.recv(timeout=20)
                assert client.close_code == 1012
            assert back.process.wait(20) == 0
            assert back.log().rstrip().endswith("stopped")
