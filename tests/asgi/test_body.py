"""`bridge.Body`: reading a request's body in pieces."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import threading
from collections.abc import Awaitable, Callable
from queue import SimpleQueue
from typing import Any

import pytest

import bridge
from bridge.asgi.body import Body
from bridge.errors import AppError, ClientDisconnected, ConfigError, RequestError
from bridge.types import Message, Receive, Scope, Send
from tests.conftest import StartHost
from tests.support import hosts
from tests.support.hosts import Command, Host
from tests.support.raw import request
from tests.support.serving import served

GONE = {"type": "http.disconnect"}


def pieces(*bodies: bytes, more: bool = False) -> list[Message]:
    """The events of a body; `more`: and it is not at its end."""
    last = len(bodies) - 1
    return [
        {"type": "http.request", "body": body, "more_body": more or at < last}
        for at, body in enumerate(bodies)
    ]


class FakeHost:
    """What an ASGI host has for an app: `events`, then nothing; `asked` counts."""

    def __init__(self, *events: Message) -> None:
        self.events = list(events)
        self.asked = 0

    async def receive(self) -> Message:
        self.asked += 1
        await asyncio.sleep(0)
        if not self.events:
            await asyncio.Event().wait()
        return self.events.pop(0)


def body_of(*bodies: bytes, **settings: Any) -> Body:
    """A body that comes in these pieces, and is then at its end."""
    return Body(FakeHost(*pieces(*bodies)).receive, **settings)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(main())


async def reads(body: Body, *sizes: int | None) -> list[bytes]:
    return [await (body.read() if size is None else body.read(size)) for size in sizes]


# ------------------------------------------------------------- pieces


def test_pieces_as_they_come_and_nothing_at_the_end() -> None:
    """L5: empty pieces are no end; after the end nothing is asked for."""

    async def test() -> None:
        host = FakeHost(*pieces(b"one", b"", b"two", b""), GONE)
        body = Body(host.receive)
        assert await reads(body, None, None, None, None) == [b"one", b"two", b"", b""]
        assert await reads(body, -1, 5, 0) == [b"", b"", b""]
        assert await body.readline() == b""
        assert host.asked == 4

    run(test)


def test_nothing_is_fetched_that_was_not_asked_for() -> None:
    """L5: one `receive` for one piece, and none while some of it is left."""

    async def test() -> None:
        host = FakeHost(*pieces(b"ab\ncd", b"ef\n", b"gh", more=True))
        body = Body(host.receive)
        assert host.asked == 0
        assert await reads(body, 1, 2) == [b"a", b"b\n"]
        assert host.asked == 1
        assert await body.readline() == b"cdef\n"
        assert host.asked == 2
        assert await reads(body, 0, None) == [b"", b"gh"]
        assert host.asked == 3

    run(test)


def test_a_number_of_bytes() -> None:
    """L5: at most so many, none only at the end; -1 is all that is left."""

    async def test() -> None:
        body = body_of(b"abcdef", b"gh", b"ijk", b"lm")
        assert await reads(body, 4, 4, 2, 1, None) == [b"abcd", b"ef", b"gh", b"i", b"jk"]
        assert await reads(body, -1, -1) == [b"lm", b""]
        assert await reads(body_of(b"ab", b"cd"), 1, -1) == [b"a", b"bcd"]

    run(test)


def test_pieces_by_iteration() -> None:
    """L5: `async for` gives the pieces, and `lines` the lines, however they were cut."""

    async def test() -> None:
        assert [piece async for piece in body_of(b"a", b"", b"b\n")] == [b"a", b"b\n"]
        lines = [line async for line in body_of(b"a\nb", b"\n\r\n", b"\n", b"c").lines()]
        assert lines == [b"a\n", b"b\n", b"\r\n", b"\n", b"c"]
        assert [piece async for piece in body_of(b"")] == []

    run(test)


def test_lines_with_a_limit() -> None:
    """L5: a line that is longer comes in parts, and no more is fetched than is needed."""

    async def test() -> None:
        host = FakeHost(*pieces(b"abc", b"def\ng", b"h"))
        body = Body(host.receive)
        assert await body.readline(0) == b""
        assert (await body.readline(2), host.asked) == (b"ab", 1)
        assert (await body.readline(1), host.asked) == (b"c", 1)
        assert await body.readline(100) == b"def\n"
        assert await body.readline(100) == b"gh"
        assert await body.readline(100) == b""

    run(test)


def test_many_small_reads_of_a_large_body() -> None:
    """L5: a million bytes in two pieces, read in threes and by lines, arrive whole."""

    async def test() -> None:
        whole = b"0123456\n" * 130_000
        body, got = body_of(whole[:500_001], whole[500_001:]), []
        while part := await body.read(3):
            got.append(part)
        assert b"".join(got) == whole
        lines = [line async for line in body_of(whole[:500_001], whole[500_001:]).lines()]
        assert len(lines) == 130_000
        assert set(lines) == {b"0123456\n"}

    run(test)


# ------------------------------------------------------------- what goes wrong


def test_a_client_that_leaves() -> None:
    """L5: each call says so, however much had come, and the host is asked no more."""

    async def test() -> None:
        host = FakeHost(*pieces(b"one\ntwo", more=True), GONE)
        body = Body(host.receive)
        assert await body.readline() == b"one\n"
        calls = [body.readline, body.read, lambda: body.read(-1), lambda: body.read(1)]
        for call in [*calls, body.__anext__]:
            with pytest.raises(bridge.ClientDisconnected, match="left before the end of its body"):
                await call()
        assert host.asked == 2

    run(test)


def test_two_tasks_that_read() -> None:
    """L5: the second gets an error that says what to do, the first its piece."""

    async def test() -> None:
        host = FakeHost(*pieces(b"x" * 10, b"\n"))
        body = Body(host.receive)
        reading = asyncio.create_task(body.readline())
        while not host.asked:
            await asyncio.sleep(0)
        for call in (body.read, body.readline, body.__anext__):
            with pytest.raises(RuntimeError, match="another task is reading this body; let one"):
                await call()
        assert await reading == b"x" * 10 + b"\n"
        assert await body.read() == b""

    run(test)


@pytest.mark.parametrize("way", ["all", "line"])
def test_a_call_that_is_cancelled_loses_nothing(way: str) -> None:
    """L5: what had come until then is there for the next call."""

    async def test() -> None:
        host = FakeHost(*pieces(b"ab", b"cd", more=True))
        body = Body(host.receive)
        reading = asyncio.create_task(body.read(-1) if way == "all" else body.readline())
        while host.asked < 3:
            await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        host.events += pieces(b"ef\n")
        assert await body.readline() == b"abcdef\n"

    run(test)


def test_a_body_that_is_too_large() -> None:
    """L5: with `max_size` it is a 413 as soon as that is known, and remains one."""

    async def test() -> None:
        body = body_of(b"abc", b"de", b"f", max_size=5)
        assert await reads(body, None, None) == [b"abc", b"de"]
        for _ in range(2):
            with pytest.raises(RequestError, match="the body has more than 5 bytes") as caught:
                await body.read()
            assert caught.value.status == 413
        assert await body_of(b"abc", b"de", max_size=5).read(-1) == b"abcde"
        with pytest.raises(RequestError, match="more than 2 bytes"):
            await Body(None, b"abc", max_size=2).read()

    run(test)


@pytest.mark.parametrize("max_size", [-1, "5", True, 1.5])
def test_a_limit_that_is_none(max_size: object) -> None:
    """L5: a wrong limit is told when the body is made."""
    with pytest.raises(ConfigError, match=r"max_size is .*; allowed is a number of bytes, or None"):
        body_of(b"", max_size=max_size)


@pytest.mark.parametrize("message", [{"type": "websocket.connect"}, {"what": "is this"}])
def test_what_is_no_body(message: Message) -> None:
    """L5: a Body of a WebSocket, or of what is no `receive` of ASGI, says that it is none."""

    async def test() -> None:
        with pytest.raises(AppError, match="a Body is for HTTP requests") as caught:
            await Body(FakeHost(message).receive).read()
        assert str(*message.values()) in str(caught.value)

    run(test)


# ------------------------------------------------------------- ASGI 1


class Channel:
    """The body's channel of an ASGI 1 request."""

    def __init__(self, *chunks: Message) -> None:
        self.receive = FakeHost(*chunks).receive


def test_the_body_of_an_asgi1_request() -> None:
    """L5: what came with the message, then what comes by the channel, if there is one."""

    async def test() -> None:
        rest = Channel(
            {"content": b"two", "more_content": True},
            {"content": None, "more_content": True},
            {"content": b"three", "more_content": False},
        )
        body = Body.from_consumer({"body": b"one "}, {"body": rest})
        assert await reads(body, None, None, -1, None) == [b"one ", b"two", b"three", b""]
        assert [piece async for piece in Body.from_consumer({"body": b"all"}, {})] == [b"all"]
        assert await Body.from_consumer({}, {}).read() == b""

    run(test)


def test_an_asgi1_client_that_leaves() -> None:
    """L5: a chunk that is marked closed."""

    async def test() -> None:
        rest = Channel({"content": b"two", "more_content": True}, {"closed": True})
        body = Body.from_consumer({"body": b"one "}, {"body": rest})
        with pytest.raises(ClientDisconnected):
            await body.read(-1)
        with pytest.raises(RequestError, match="more than 3 bytes"):
            await Body.from_consumer({"body": b"one "}, {}, max_size=3).read()

    run(test)


# ------------------------------------------------------------- on hosts


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Say how many bytes came, in how many pieces and lines, and their hash."""
    assert scope["type"] == "http"
    body = bridge.Body(receive)
    digest, size, count = hashlib.sha256(), 0, 0
    if scope["path"] == "/lines":
        async for line in body.lines():
            digest.update(line)
            size, count = size + len(line), count + 1
    else:
        while piece := await body.read(10_000 if scope["path"] == "/sized" else None):
            digest.update(piece)
            size, count = size + len(piece), count + 1
    said = f"{size} {count} {digest.hexdigest()}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": said})


#: For WSGI hosts.
application = bridge.AsgiToWsgi(app)

APP = f"{__name__}:app"
HOSTS = {
    "bridge": hosts.bridge(APP),
    "uvicorn": hosts.uvicorn(APP, "--lifespan=off"),
    "hypercorn": hosts.hypercorn(APP),
    "waitress": hosts.waitress(f"{__name__}:application"),
    "gunicorn-gthread": hosts.gunicorn(f"{__name__}:application"),
    "gunicorn-bridge": hosts.gunicorn(APP, worker=hosts.BRIDGE_WORKER),
}


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest, shared_host: StartHost) -> Host:
    """A server of `app`."""
    command: Command = HOSTS[request.param]
    return shared_host(command)


@pytest.mark.parametrize("path", ["/", "/sized", "/lines"])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_on_every_host(host: Host, path: str, chunked: bool) -> None:
    """L5: a body of a length or in chunks, and none, arrive whole by each way of reading."""
    whole = b"0123456789abcde\n" * 40_000
    connection = http.client.HTTPConnection(host.address, host.port, timeout=20)
    for sent in (whole, b""):
        parts = [sent[start : start + 33_333] for start in range(0, len(sent), 33_333)]
        fields = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(len(sent))}
        connection.request("POST", path, iter(parts), fields, encode_chunked=chunked)
        size, count, digest = connection.getresponse().read().decode().split()
        assert (int(size), digest) == (len(sent), hashlib.sha256(sent).hexdigest())
        if path == "/lines":
            assert int(count) == len(sent) // 16
    connection.close()


def test_a_slow_app_slows_its_client_down() -> None:
    """L5: what the app does not read stays in the socket, and comes when it reads on."""
    went_on, got = threading.Event(), SimpleQueue[object]()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        body = bridge.Body(receive)
        first = await body.read(10)
        got.put(first)
        await asyncio.to_thread(went_on.wait, 20)
        got.put(len(first) + len(await body.read(-1)))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    size = 64 * 1024 * 1024  # more than both sockets hold
    with served(slow) as server, server.connect() as client:
        client.send(request(method="POST")[:-2] + b"Content-Length: %d\r\n\r\n" % size)
        sent = 0
        client.sock.settimeout(0.5)
        try:
            while sent < size:
                sent += client.sock.send(bytes(65536))
        except TimeoutError:
            pass
        assert sent < size
        assert got.get(timeout=20) == bytes(10)
        went_on.set()
        client.sock.settimeout(20)
        client.send(bytes(size - sent))
        assert client.response().status == 204
        assert got.get(timeout=20) == size


@pytest.mark.parametrize("way", ["end", "reset"])
def test_a_client_that_leaves_in_the_middle(way: str) -> None:
    """L5 S12: it raises where the app reads."""
    said = SimpleQueue[object]()

    async def reader(scope: Scope, receive: Receive, send: Send) -> None:
        body = bridge.Body(receive)
        said.put(await body.read())
        try:
            await body.read(-1)
        except bridge.ClientDisconnected as error:
            said.put(error)

    with served(reader) as server:
        client = server.connect()
        client.send(request(method="POST")[:-2] + b"Content-Length: 8\r\n\r\nhalf")
        assert said.get(timeout=20) == b"half"
        if way == "reset":
            client.reset()
        else:
            client.sock.close()
        assert isinstance(said.get(timeout=20), OSError)
