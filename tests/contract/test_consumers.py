"""ASGI 1 consumers over real sockets: on our server, uvicorn, Gunicorn's worker and WSGI hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.conftest import StartHost
from tests.support import hosts
from tests.support.apps.consumers import FLOODS, LATE, SHAPES, UPLOADS
from tests.support.hosts import Command, Host
from tests.support.waiting import eventually

MODULE = "tests.support.apps.consumers"

HOSTS: dict[str, Callable[[], Command]] = {
    "bridge": lambda: hosts.bridge(f"{MODULE}:app"),
    "bridge-greenlet": lambda: hosts.bridge(f"{MODULE}:app", "--runner=greenlet"),
    "bridge-inline": lambda: hosts.bridge(f"{MODULE}:app", "--runner=inline"),
    "bridge-gunicorn": lambda: hosts.gunicorn(f"{MODULE}:app", worker=hosts.BRIDGE_WORKER),
    "uvicorn": lambda: hosts.uvicorn(f"{MODULE}:app"),
    "hypercorn": lambda: hosts.hypercorn(f"{MODULE}:app"),
    "waitress": lambda: hosts.waitress(f"{MODULE}:wsgi"),
    "gunicorn-sync": lambda: hosts.gunicorn(f"{MODULE}:wsgi", worker="sync"),
}


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest, shared_host: StartHost) -> Host:
    """A host of all consumers."""
    return shared_host(HOSTS[request.param]())


@pytest.fixture
def client(host: Host) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=host.url(""), timeout=30) as client:
        yield client


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_on_every_host(shape: str, client: httpx.Client) -> None:
    """L2 L4: the same answers, with and without a body, on one connection."""
    for _ in range(2):
        response = client.get(f"/{shape}/x?a=1")
        assert (response.status_code, response.text) == (200, "GET x a=1 ")
        assert response.headers["content-type"] == "text/plain"
        assert client.post(f"/{shape}/y", content=b"body").text == "POST y  body"
        assert client.head(f"/{shape}/x").text == ""


@pytest.mark.parametrize("way", LATE)
def test_replies_after_the_return_on_every_host(way: str, client: httpx.Client) -> None:
    """L3: from a thread, a callback, a task."""
    assert client.get(f"/{way}/x").text == "GET x  "


@pytest.mark.parametrize("way", UPLOADS)
@pytest.mark.parametrize("size", [0, 1000, 300_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_uploads_on_every_host(
    chunked: bool, size: int, way: str, host: Host, client: httpx.Client
) -> None:
    """L4 L5: whole in the message, or in pieces."""
    if host.name == "bridge" and way == "upload" and "--runner=inline" in runner_of(host):
        return  # it would stop the loop that reads the body
    body = b"x" * size
    sent = iter([body[:100], body[100:]]) if chunked else body
    response = client.post(f"/{way}", content=sent)
    assert (response.status_code, response.text) == (200, str(size))


def runner_of(host: Host) -> str:
    return " ".join(map(str, host.process.args))  # type: ignore[arg-type]


def test_errors_on_every_host(host: Host, client: httpx.Client) -> None:
    """L3: before the response a 500, in its middle a cut; each is logged once."""
    said = host.log_size()
    response = client.get("/raises/before")
    assert response.status_code == 500
    assert "broken" not in response.text
    eventually(lambda: "LookupError: broken at /raises/before" in host.log(said))
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/breaks-off/middle")
    eventually(lambda: "LookupError: broken at /breaks-off/middle" in host.log(said))
    assert client.get("/b/x").status_code == 200
    for path in ("/raises/before", "/breaks-off/middle"):
        assert host.log(said).count(f"LookupError: broken at {path}") == 1


def test_wrong_replies_on_every_host(client: httpx.Client) -> None:
    """L4: each is an error in the consumer's own send, and the next may be right."""
    told = client.get("/wrong").text.splitlines()
    assert [line.partition(",")[0][:33] for line in told] == [
        "the first reply to a request has ",
        "content is 'text'",
        "status is 1",
        "a reply is a dict",
    ]


def test_no_reply_in_time_on_every_host(client: httpx.Client) -> None:
    """L3: 503."""
    assert client.get("/silent").status_code == 503


@pytest.mark.parametrize("name", FLOODS)
def test_a_slow_client_that_vanishes(name: str, host: Host) -> None:
    """L3 L4: it slows the consumer down; when it has gone the consumer ends, and is told."""
    said = host.log_size()
    path = f"/{name}/{host.port}"
    connection = host.connect()
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert connection.recv(12) == b"HTTP/1.1 200"
    if host.name != "gunicorn-sync":  # it does one thing at a time
        counts = [how_much(host)]
        while len(counts) < 3 or counts[-1] != counts[-3]:  # until the sockets are full
            counts.append(how_much(host))
    connection.close()
    eventually(lambda: f"closed {path}" in host.log(said), 30)
    eventually(lambda: f"left {path}" in host.log(said), 30)


def how_much(host: Host) -> int:
    return int(httpx.get(host.url("/how-much"), timeout=30).text)


def test_a_long_poll_that_is_given_up(host: Host) -> None:
    """L4: the consumer is told, if the host tells us."""
    if host.name in ("waitress", "gunicorn-sync"):
        return  # a WSGI host does not look while nothing is sent
    said = host.log_size()
    path = f"/poll/{host.port}"
    with host.connect() as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        eventually(lambda: f"waits {path}" in host.log(said))
    eventually(lambda: f"left {path}" in host.log(said))


@pytest.mark.parametrize("path", ["slow", "by-callback", "late", "router"])
def test_a_thousand_requests_at_once(path: str, shared_host: StartHost) -> None:
    """L2 L3: each gets its own answer."""
    host = shared_host(HOSTS["bridge"]())

    async def ask(number: int) -> bytes:
        reader, writer = await asyncio.open_connection(host.address, host.port)
        connected.append(number)
        while len(connected) < 1000:
            await asyncio.sleep(0.001)
        head = f"GET /{path}/{number} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        answer = await reader.read()
        writer.close()
        return answer

    async def ask_all() -> None:
        answers = await asyncio.gather(*map(ask, range(1000)))
        for number, answer in enumerate(answers):
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.endswith(b"GET %d  " % number)

    connected: list[int] = []
    asyncio.run(ask_all())


@pytest.mark.parametrize("options", [(), ("--interface=asgi1",)])
def test_a_consumer_by_itself(options: tuple[str, ...], start_host: StartHost) -> None:
    """L2 S51 S60: its kind is told, or asked for; the settings of threads reach it."""
    command = hosts.bridge(f"{MODULE}:consumer", "--threads=3", *options)
    host = start_host(command)
    assert httpx.get(host.url("/x")).text == "GET x  "
    eventually(lambda: f"serving {MODULE}:consumer (ASGI 1, 3 threads)" in host.log())
    assert host.stop() == 0
