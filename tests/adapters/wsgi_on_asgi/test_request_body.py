"""A request's body as ASGI's messages bring it."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from typing import Any

import pytest

import bridge
from bridge.adapters.wsgi_on_asgi.request_body import RequestBody
from bridge.errors import RequestError
from bridge.types import Environ, Message, StartResponse
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.adapters.wsgi_on_asgi.asking import (
    POST,
    Client,
    ask,
    echo,
    hello,
    serve,
)
from tests.runners.jobs import until


@pytest.mark.parametrize("spool_body", [None, 0, 10, 1000])
def test_body(runner: str, spool_body: int | None) -> None:
    """W20, W24, W25: the body arrives whole, pulled or spooled, in memory or on disk."""
    pieces = [b"%03d" % number for number in range(100)]
    for headers in ([], [(b"content-length", b"300")], [(b"transfer-encoding", b"chunked")]):
        client = ask(echo, pieces, runner=runner, spool_body=spool_body, headers=headers, **POST)
        assert client.body == b"".join(pieces)


def test_spooled_body_has_a_length() -> None:
    """W24, W25: the length of a spooled body is known, and told to the app."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["CONTENT_LENGTH"].encode()]

    chunked = [(b"transfer-encoding", b"chunked")]
    assert ask(app, [b"ab", b"c"], spool_body=1, headers=chunked, **POST).body == b"3"


def test_nothing_is_received_before_the_first_read(waiting_runner: str) -> None:
    """W21: an app that does not read its body never causes a `receive()`."""
    client = ask(hello, [b"body"], runner=waiting_runner, **POST)
    assert client.received == 0


def test_pulled_on_demand(waiting_runner: str) -> None:
    """W21: at most 64 KiB of a body that the app does not read yet wait in memory."""
    gate = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        body = environ["wsgi.input"]
        first = body.read(1)
        if waiting_runner == "thread":
            gate.wait()
        else:
            bridge.await_(until(gate.is_set))
        start_response("200 OK", [])
        return [first + body.read()]

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client([b"x" * 8192] * 100, **POST)
        task = client.ask(adapter)
        await until(lambda: client.received >= 1)
        await asyncio.sleep(0.05)  # time to receive too much
        assert client.received <= 9
        gate.set()
        await task
        assert len(client.body) == 100 * 8192

    serve(app, use, runner=waiting_runner)


@pytest.mark.parametrize("how", ["announced", "counted", "chunked"])
def test_max_body_size(runner: str, how: str) -> None:
    """W22: a body above the limit is a 413, before the app runs if that can be known by then."""
    ran = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        ran.append(1)
        return echo(environ, start_response)

    headers = {
        "announced": [(b"content-length", b"30")],
        "counted": [],
        "chunked": [(b"transfer-encoding", b"chunked")],
    }[how]
    client = ask(app, [b"x" * 10] * 3, runner=runner, max_body_size=29, headers=headers, **POST)
    assert client.status == 413
    assert client.is_whole
    assert bool(ran) == (how == "counted" and runner != "inline")
    within = ask(app, [b"x" * 10] * 3, runner=runner, max_body_size=30, headers=headers, **POST)
    assert within.body == b"x" * 30


@pytest.mark.parametrize("how", ["disconnect", "short", "error"])
def test_cut_off_upload(waiting_runner: str, how: str) -> None:
    """W23: a body that was cut off raises ClientDisconnected, an OSError, when it is read."""
    seen: list[Any] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        for _ in range(2):
            try:
                seen.append(environ["wsgi.input"].read())
            except OSError as error:
                seen.append(type(error))
        start_response("200 OK", [])
        return [b"no matter"]

    async def use(adapter: WsgiToAsgi) -> None:
        whole = how == "short"
        client = Client(
            [b"abc"], whole=whole, headers=[(b"content-length", b"9")], leaves=True, **POST
        )
        if how == "error":
            del client.scope["headers"][:]
        await client.ask(adapter)

    serve(app, use, runner=waiting_runner)
    assert seen == [bridge.ClientDisconnected] * 2


def test_cut_off_upload_that_is_spooled(runner: str) -> None:
    """W23, W25: with a spooled body the app does not even run."""
    client = ask(hello, [b"abc"], whole=False, leaves=True, runner=runner, spool_body=10, **POST)
    assert client.sent == []


# ------------------------------------------------------------- by its own methods


def body_of(*pieces: bytes, whole: bool = True, **limits: int) -> RequestBody:
    """A body that comes in `pieces`, and breaks off if it is not `whole`."""
    last = len(pieces) if whole else 0
    coming: list[Message] = [
        {"type": "http.request", "body": piece, "more_body": number != last}
        for number, piece in enumerate(pieces, 1)
    ]
    if whole:
        coming.append({"type": "http.request"})  # some hosts say the end again

    async def receive() -> Message:
        return coming.pop(0) if coming else {"type": "http.disconnect"}

    return RequestBody(receive, **limits)


async def rest_of(body: RequestBody) -> list[bytes]:
    """The pieces that are still to come."""
    pieces = []
    while piece := await body.next():
        pieces.append(piece)
    return pieces


def test_pieces() -> None:
    """W21: empty pieces are left out; after the end there is nothing but the disconnect."""

    async def main() -> None:
        body = body_of(b"", b"a", b"", b"b", b"")
        assert await rest_of(body) == [b"a", b"b"]
        assert (body.received, body.ended) == (2, True)
        assert await body.next() == b""
        await body.disconnected()

    asyncio.run(main())


@pytest.mark.parametrize("pieces", [[b"abc"], [b"ab", b"c"], [b""]])
def test_a_small_body_as_a_file(pieces: list[bytes]) -> None:
    """W8: one that ends in time."""

    async def main() -> None:
        body = body_of(*pieces)
        file = await body.take_small(10)
        assert file.read() == b"".join(pieces)
        body.close()

    asyncio.run(main())


def test_a_body_that_is_not_small() -> None:
    """W8, W21: nothing of it is lost, and no more of it is received than was awaited."""

    async def main() -> None:
        body = body_of(b"abc", b"def", b"ghi")
        assert await body.take_small(4) is None
        assert body.received == 6
        assert await rest_of(body) == [b"abcdef", b"ghi"]
        body.close()

    asyncio.run(main())


@pytest.mark.parametrize("memory", [0, 2, 100])
def test_a_whole_body_as_a_file(memory: int) -> None:
    """W25: in memory or on disk, at its start, until the app is done."""

    async def main() -> None:
        body = body_of(b"ab", b"c", b"def")
        file = await body.take(memory)
        assert file.read() == b"abcdef"
        body.close()
        if memory < 6:
            assert file.closed

    asyncio.run(main())


def test_a_body_that_breaks_off_on_its_way_to_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """W22, W23: its file is closed at once."""
    files: list[Any] = []

    def noted() -> Any:
        files.append(temporary_file())
        return files[-1]

    temporary_file = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", noted)

    async def main() -> None:
        with pytest.raises(bridge.ClientDisconnected):
            await body_of(b"ab", b"cd", whole=False).take(1)
        with pytest.raises(RequestError):
            await body_of(b"ab", b"cd", limit=3).take(1)

    asyncio.run(main())
    assert [file.closed for file in files] == [True, True]


def test_a_body_that_is_too_long_or_too_short() -> None:
    """W22, W23: raised from then on at every call; at once if Content-Length says so."""

    async def main() -> None:
        long = body_of(b"ab", b"cd", limit=3)
        assert await long.next() == b"ab"
        short = body_of(b"ab", length=3)
        for _ in range(2):
            with pytest.raises(RequestError):
                await long.next()
            with pytest.raises(bridge.ClientDisconnected):
                await short.next()
        with pytest.raises(RequestError):
            body_of(length=4, limit=3)

    asyncio.run(main())
