"""Bodies that an app answers before their end, and does not read (W26)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from queue import SimpleQueue
from typing import Any

import pytest

from bridge import WsgiToAsgi
from bridge.server.http1.connection import Http1Connection
from bridge.types import Receive, Scope, Send
from tests.support.raw import request
from tests.support.serving import served


def deaf(environ: Any, start_response: Any) -> list[bytes]:
    """Answers, and reads nothing."""
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


@pytest.mark.parametrize("runner", ["thread", "greenlet", "inline"])
@pytest.mark.parametrize("pieces", [(60_000, 6_000), (66_000, 1_000), (60_000, 6_000, 1_000)])
def test_an_answer_at_a_piece_of_body(runner: str, pieces: tuple[int, ...]) -> None:
    """W26: whichever piece of a body an app answers at, its connection takes the next request."""
    app = WsgiToAsgi(deaf, runner=runner)
    with served(app) as server, server.connect() as client:
        client.get()
        (connection,) = server.server.state.connections
        assert isinstance(connection, Http1Connection)
        head = request("/", f"Content-Length: {sum(pieces)}", method="POST")
        for piece in (head, *(b"x" * size for size in pieces)):
            server.call(partial(connection.data_received, piece))
        assert client.response().body == b"ok"
        assert client.get().body == b"ok"


def test_a_late_answer_to_a_body_that_is_whole() -> None:
    """W26: as much for an ASGI app that answers when all of the body waits for it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            await answers.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    answers = asyncio.Event()
    with served(app) as server, server.connect() as client:
        client.get()
        (connection,) = server.server.state.connections
        assert isinstance(connection, Http1Connection)
        head = request("/", "Content-Length: 66000", method="POST")
        server.call(partial(connection.data_received, head + b"x" * 66_000))
        server.call(answers.set)
        assert client.response().body == b"ok"
        assert client.get().body == b"ok"


def test_reading_on_after_the_answer() -> None:
    """ASGI, "Disconnect": after its response an app is told so, though its body is not whole."""
    told: SimpleQueue[str] = SimpleQueue()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})
        told.put((await receive())["type"])

    with served(app) as server, server.connect() as client:
        client.send(request("/", "Content-Length: 200", method="POST") + b"x" * 100)
        assert client.response().body == b"ok"
        assert told.get(timeout=5) == "http.disconnect"


def test_reading_on_in_a_thread_after_the_answer() -> None:
    """W23, W52: a thread that reads on is told so too, and does not wait for ever."""
    told: SimpleQueue[BaseException] = SimpleQueue()

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        yield b"ok"
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            told.put(error)

    with served(app) as server, server.connect() as client:
        client.send(request("/", "Content-Length: 100000", method="POST") + b"x" * 90_000)
        assert client.response().body == b"ok"
        assert "the response is over" in str(told.get(timeout=5))


POST = request("/post", "Content-Length: 5", method="POST") + b"hello"
CHUNKED = request("/chunked", "Transfer-Encoding: chunked", method="POST")
CHUNKED += b"5\r\nhello\r\n0\r\n\r\n"
GET = request("/get")


@pytest.mark.parametrize("runner", ["thread", "greenlet", "inline"])
@pytest.mark.parametrize(
    "pieces",
    [
        [GET + POST + GET],
        [POST + POST + POST],
        [GET + CHUNKED + POST],
        [POST[:20], POST[20:] + GET + GET],
        [POST[:-2], POST[-2:] + GET + CHUNKED],
    ],
)
def test_requests_behind_a_body(runner: str, pieces: list[bytes]) -> None:
    """S1: what follows a body in the same piece is answered, however soon the app answered."""
    with served(WsgiToAsgi(deaf, runner=runner)) as server, server.connect() as client:
        client.send_pieces(pieces, pause=0.05)
        assert [client.response().body for _ in range(3)] == [b"ok"] * 3


def test_a_body_that_was_asked_for_and_never_came() -> None:
    """S2, S5: its client cannot hold the connection for ever once the app has answered."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked = asyncio.ensure_future(receive())
        await asyncio.sleep(0.05)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})
        asked.cancel()

    limits = {"timeout_body": 1.0, "timeout_keep_alive": 1.0}
    with served(app, **limits) as server, server.connect() as client:
        client.send(request("/", "Content-Length: 5", "Expect: 100-continue", method="POST"))
        response = client.response()
        assert [each.status for each in response.informational] == [100]
        assert response.body == b"ok"
        assert client.is_closed(10)
