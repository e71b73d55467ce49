"""Request bodies: read on demand, in pieces, and never taken for whole when they are cut off."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.asgi_to_wsgi import AsgiToWsgi
from bridge.limits import READ_SIZE
from tests.adapters.asgi_on_wsgi.direct import LIMIT, call, environ, serve

START: dict[str, Any] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain")],
}


async def answer(send: Any, body: bytes = b"") -> None:
    await send(START)
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Sends each piece back when it comes; one that was cut off is marked."""
    await send(START)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            await send({"type": "http.response.body", "body": b"(cut off)"})
            return
        more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": message["body"], "more_body": more})
        if not more:
            return


class Trickle:
    """An input that gives few bytes at a time, counts its reads, and may break."""

    def __init__(self, data: bytes, piece: int, error: Exception | None = None) -> None:
        self.data, self.piece, self.error, self.asked = data, piece, error, []

    def read(self, size: int) -> bytes:
        self.asked.append(size)
        if not self.data and self.error is not None:
            raise self.error
        given, self.data = self.data[: min(size, self.piece)], self.data[min(size, self.piece) :]
        return given


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 100))
def test_any_body_in_any_pieces(data: bytes, piece: int) -> None:
    """A10: whatever the input gives at a time, the app gets the body, by length or to its end."""
    by_length = environ("POST", wsgi_input=Trickle(data, piece), CONTENT_LENGTH=str(len(data)))
    to_the_end = environ("POST", wsgi_input=Trickle(data, piece), wsgi_input_terminated=True)
    assert serve(echo, by_length, validate=False).body == data
    assert serve(echo, to_the_end, validate=False).body == data


class TestOnDemand:
    def test_nothing_is_read_unasked(self) -> None:
        """A10: an app that does not receive does not make the host read."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await answer(send)

        source = Trickle(b"x" * 10, 10)
        serve(app, environ("POST", wsgi_input=source, CONTENT_LENGTH="10"), validate=False)
        assert source.asked == []

    def test_no_more_than_the_body(self) -> None:
        """A10: what follows the body on the connection is not touched."""
        source = io.BytesIO(b"x" * (READ_SIZE + 5) + b"next request")
        made = environ("POST", wsgi_input=source, CONTENT_LENGTH=str(READ_SIZE + 5))
        assert len(serve(echo, made).body) == READ_SIZE + 5
        assert source.read() == b"next request"

    def test_in_pieces(self) -> None:
        """A10: a large body comes in pieces of at most 64 KiB, one for each receive()."""
        source = Trickle(b"x" * 200_000, 1_000_000)
        pieces: list[int] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            more = True
            while more:
                message = await receive()
                more = message["more_body"]
                pieces.append(len(message["body"]))
                assert len(source.asked) == len(pieces)
            await answer(send)

        serve(app, environ("POST", wsgi_input=source, CONTENT_LENGTH="200000"), validate=False)
        assert pieces == [65536, 65536, 65536, 3392]

    def test_what_is_there_comes_at_once(self) -> None:
        """A10: a buffered input is not made to wait until a whole piece is there."""
        reading, writing = os.pipe()
        first = threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            message = await receive()
            assert message == {"type": "http.request", "body": b"abc", "more_body": True}
            first.set()
            assert (await receive())["body"] == b"de"
            await answer(send, b"good")

        os.write(writing, b"abc")
        threading.Thread(target=lambda: (first.wait(LIMIT), os.write(writing, b"de"))).start()
        with open(reading, "rb") as source, open(writing, "wb"):
            made = environ("POST", wsgi_input=source, CONTENT_LENGTH="5")
            assert serve(app, made, validate=False).body == b"good"

    def test_without_a_length(self) -> None:
        """A10: without Content-Length, and an input that ends by itself, there is no body."""
        source = Trickle(b"not ours", 10)
        assert serve(echo, environ("POST", wsgi_input=source), validate=False).body == b""
        assert source.asked == []


class TestCutOff:
    @pytest.mark.parametrize(
        "error", [None, OSError("reset"), ValueError("chunk"), TimeoutError(), EOFError()]
    )
    def test_is_a_disconnect(self, error: Exception | None) -> None:
        """A11: a body that ends early, or cannot be read, is http.disconnect and never whole."""
        source = Trickle(b"abc", 2, error)
        made = environ("POST", wsgi_input=source, CONTENT_LENGTH="10")
        assert serve(echo, made, validate=False).body == b"abc(cut off)"
        assert len(source.asked) == 3

    def test_stays_a_disconnect(self) -> None:
        """A11: asking again neither hangs, nor reads, nor spins."""
        source = Trickle(b"", 1)
        heard: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            for _ in range(5):
                heard.append((await receive())["type"])
            await answer(send)

        made = environ("POST", wsgi_input=source, CONTENT_LENGTH="10")
        assert serve(app, made, validate=False).code == 200
        assert heard == ["http.disconnect"] * 5
        assert len(source.asked) == 1


class TestManyReceivers:
    def test_each_gets_a_piece(self) -> None:
        """A10: tasks that receive at the same time get different pieces, and none is lost."""
        data = bytes(range(100))

        async def app(scope: Any, receive: Any, send: Any) -> None:
            got = await asyncio.gather(*(receive() for _ in range(10)))
            await answer(send, b"".join(message["body"] for message in got))

        made = environ("POST", wsgi_input=Trickle(data, 10), CONTENT_LENGTH="100")
        assert sorted(serve(app, made, validate=False).body) == list(data)

    def test_a_cancelled_receive_loses_nothing(self) -> None:
        """A10: a piece that nobody waits for any more is kept for the next receive()."""
        go = threading.Event()

        class Held(Trickle):
            def read(self, size: int) -> bytes:
                go.wait(LIMIT)
                return super().read(size)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            try:
                async with asyncio.timeout(0.01):
                    await receive()
            except TimeoutError:
                go.set()
            await answer(send, (await receive())["body"] + (await receive())["body"])

        made = environ("POST", wsgi_input=Held(b"abcd", 2), CONTENT_LENGTH="4")
        assert serve(app, made, validate=False).body == b"abcd"

    def test_waiting_when_the_response_ends(self) -> None:
        """A12: a receive() that waits for the body hears http.disconnect when the response ends."""
        heard: list[Any] = []
        reading, go = threading.Event(), threading.Event()

        class Held(Trickle):
            def read(self, size: int) -> bytes:
                reading.set()
                go.wait(LIMIT)
                return super().read(size)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            late = asyncio.create_task(receive())
            await asyncio.to_thread(reading.wait, LIMIT)
            await answer(send)
            heard.append(await late)
            go.set()

        adapter = AsgiToWsgi(app, lifespan="off")
        made = environ("POST", wsgi_input=Held(b"abcd", 4), CONTENT_LENGTH="4")
        assert call(adapter, made, validate=False).code == 200
        assert adapter.close()
        assert heard == [{"type": "http.disconnect"}]
