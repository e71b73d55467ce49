"""WSGI exchanges whose app runs in the loop's thread: what they write, waits, pauses and ends."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import ClientDisconnected
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.support.raw import Closed, request
from tests.support.serving import served
from tests.support.waiting import eventually

RUNNERS = ["greenlet", "inline"]
LARGE = 30_000_000


@pytest.fixture(params=RUNNERS)
def runner(request: pytest.FixtureRequest) -> Any:
    return request.param


def pieces(environ: Any, start_response: Any) -> Iterator[bytes]:
    """A hundred pieces, which no client has room for at once."""
    start_response("200 OK", [])
    for number in range(100):
        yield b"%07d\n" % number * (LARGE // 800)


async def for_ever(waiting: list[asyncio.Event]) -> None:
    """Wait for an event that is put into `waiting`."""
    event = asyncio.Event()
    waiting.append(event)
    await event.wait()


def test_whole_and_in_pieces(runner: Any) -> None:
    """W35, W39: a response leaves whole, or in pieces whose end is told by length or by chunks."""

    def app(environ: Any, start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        start_response("200 OK", [("Content-Length", "4")] if path == "/sized" else [])
        return [b"whole"] if path == "/whole" else iter([b"ab", b"cd"])

    with served(WsgiToAsgi(app, runner=runner)) as server, server.connect() as client:
        for path, framing, body in [
            ("/whole", "length", b"whole"),
            ("/sized", "length", b"abcd"),
            ("/", "chunked", b"abcd"),
        ]:
            response = client.get(path)
            assert (response.framing, response.body) == (framing, body)


def test_a_slow_client(runner: Any) -> None:
    """W39: a greenlet waits for a slow client, an inline call pauses; each goes on after it."""
    with served(WsgiToAsgi(pieces, runner=runner)) as server, server.connect() as client:
        client.send(request("/"))
        body = client.response().body
        assert len(body) == LARGE
        assert body == b"".join(b"%07d\n" % number * (LARGE // 800) for number in range(100))
        assert client.get("/").status == 200


def test_a_slow_client_of_a_whole_response(runner: Any) -> None:
    """W35: a response that is whole is written at once, and its call is over: nothing goes on."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [bytes(LARGE)]

    with served(WsgiToAsgi(app, runner=runner)) as server, server.connect() as client:
        assert client.get("/").body == bytes(LARGE)
        assert client.get("/").body == bytes(LARGE)


def test_the_client_of_a_slow_stream_leaves(runner: Any) -> None:
    """W40: what waits for a client that leaves is stopped, and closed."""
    closed: list[bool] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        try:
            yield from pieces(environ, start_response)
        finally:
            closed.append(True)

    with served(WsgiToAsgi(app, runner=runner)) as server:
        client = server.connect()
        client.send(request("/"))
        client.exactly(1000)
        assert closed == []
        client.reset()
        eventually(lambda: closed == [True])


@pytest.mark.parametrize("answer", ["whole", "stream", "finish", "hints"])
def test_an_app_that_does_not_hear_that_its_client_left(answer: str) -> None:
    """G4, W40: a greenlet hears of it where it waits; what it sends after that is dropped."""
    heard: list[str] = []
    waiting: list[asyncio.Event] = []

    def wait() -> None:
        try:
            adapter.runner.wait(for_ever(waiting))
        except ClientDisconnected:
            heard.append("left")

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        if answer in ("whole", "hints"):
            wait()
        if answer == "hints":
            try:
                environ["wsgi.early_hints"]([("Link", "</a>")])
            except ClientDisconnected:
                heard.append("no hints")
        if answer == "whole":
            return iter([])
        return stream(environ)

    def stream(environ: Any) -> Iterator[bytes]:
        try:
            yield b"first"
            if answer in ("stream", "finish"):
                wait()
            if answer == "stream":
                yield b"second"
        finally:
            heard.append("closed")

    adapter = WsgiToAsgi(app, runner="greenlet")
    with served(adapter) as server:
        client = server.connect()
        client.send(request("/"))
        eventually(lambda: waiting)
        client.reset()
        last = "left" if answer == "whole" else "closed"
        eventually(lambda: heard and heard[-1] == last)
        eventually(lambda: adapter.stats().busy == 0)
    expected = {"whole": ["left"], "hints": ["left", "no hints", "closed"]}
    assert heard == expected.get(answer, ["left", "closed"])


def test_an_error_in_a_stream(runner: Any) -> None:
    """W38: a response that breaks off is cut, so that the client can tell."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"half"
        raise RuntimeError("the other half is missing")

    with served(WsgiToAsgi(app, runner=runner)) as server, server.connect() as client:
        client.send(request("/"))
        with pytest.raises((Closed, ConnectionResetError)):
            client.response()


def test_an_error_before_anything(runner: Any, caplog: pytest.LogCaptureFixture) -> None:
    """W38: it is a 500, and logged once."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        raise RuntimeError("nothing works")

    with served(WsgiToAsgi(app, runner=runner)) as server, server.connect() as client:
        assert client.get("/").status == 500
    assert sum("nothing works" in str(record.exc_info) for record in caplog.records) == 1


def test_too_many_greenlets() -> None:
    """W52: beyond `queue_limit` a request is refused, and a line that counts tells of it."""
    waiting: list[asyncio.Event] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        adapter.runner.wait(for_ever(waiting))
        start_response("200 OK", [])
        return [b"ok"]

    adapter = WsgiToAsgi(app, runner="greenlet", queue_limit=1)
    with served(adapter) as server, server.connect() as client, server.connect() as late:
        client.send(request("/"))
        eventually(lambda: waiting)
        response = late.get("/")
        assert (response.status, response.value(b"retry-after")) == (503, b"1")
        server.call(lambda: waiting[0].set())
        assert client.response().body == b"ok"


def test_early_hints(runner: Any) -> None:
    """W42: hints leave at once, and not behind the head, nor behind the response."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        hint = environ["wsgi.early_hints"]
        hint([("Link", "</a>")])
        start_response("200 OK", [("Content-Length", "2")])
        yield b"o"
        hint([("Link", "</b>")])
        yield b"k"
        hint([("Link", "</c>")])

    with served(WsgiToAsgi(app, runner=runner)) as server, server.connect() as client:
        for _ in range(2):
            response = client.get("/")
            assert [hint.fields for hint in response.informational] == [[(b"link", b"</a>")]]
            assert response.body == b"ok"


@pytest.mark.parametrize("first", [b"", b"before "])
@pytest.mark.parametrize("length", [True, False])
def test_files(runner: Any, first: bytes, length: bool, tmp_path: Path) -> None:
    """W41: a file goes from its position on, by the system or in chunks, behind what was sent."""
    content = bytes(range(256)) * 400
    (tmp_path / "file").write_bytes(b"skipped" + content)

    def app(environ: Any, start_response: Any) -> Any:
        size = len(first) + len(content)
        write = start_response("200 OK", [("Content-Length", str(size))] if length else [])
        if first:
            write(first)
        in_python, path = environ["PATH_INFO"] == "/python", tmp_path / "file"
        file: Any = io.BytesIO(path.read_bytes()) if in_python else path.open("rb")
        file.seek(len(b"skipped"))
        return environ["wsgi.file_wrapper"](file)

    with served(WsgiToAsgi(app, runner=runner)) as server, server.connect() as client:
        for path in ("/system", "/python", "/system"):
            response = client.get(path)
            assert response.body == first + content


def test_a_file_that_is_closed_while_it_is_sent(tmp_path: Path) -> None:
    """W41: nothing but the app's file is sent, whatever is opened under its number meanwhile."""
    (tmp_path / "public").write_bytes(b"p" * LARGE)
    (tmp_path / "secret").write_bytes(b"s" * LARGE)
    files: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        files.append((tmp_path / "public").open("rb"))
        start_response("200 OK", [("Content-Length", str(LARGE))])
        return environ["wsgi.file_wrapper"](files[0])

    with (
        served(WsgiToAsgi(app, runner="greenlet")) as server,
        server.connect() as client,
    ):
        client.send(request())
        first = client.exactly(100_000)
        number = files[0].fileno()
        files[0].close()
        with open(tmp_path / "secret", "rb") as secret:
            assert secret.fileno() == number
            body = first.partition(b"\r\n\r\n")[2]
            body += client.exactly(LARGE - len(body))
    assert body.count(b"p") == LARGE
