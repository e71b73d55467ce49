"""A response as HTTP/1.1 bytes, from a head and pieces: no socket, no loop."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.http.response_fields import raw_fields
from bridge.http.response_head import ResponseHead, raw_head
from bridge.server import exchange as exchanges
from bridge.server.http1 import response as responder
from bridge.server.http1.response import (
    BY_CHUNKS,
    BY_CLOSE,
    BY_LENGTH,
    NOTHING,
    Response,
    fast_head,
    framing,
    keeps_alive,
    send_whole,
)
from bridge.server.logs.served import Served
from bridge.server.request import Request
from bridge.server.request_body import PARTIAL, WHOLE, RequestBody
from bridge.server.state import DRAIN_LIMIT, RETIRING, SERVING

OURS = b"date: now\r\nserver: us\r\n"


class Defaults:
    """The server's own fields."""

    date_line = b"date: now\r\n"
    server_line = b"server: us\r\n"


def request(method: str = "GET", *, http11: bool = True) -> Request:
    found = Request(method, b"/x", b"/x", b"")
    found.http11 = http11
    return found


def response(method: str = "GET", *, http11: bool = True) -> Response:
    return Response(request(method, http11=http11), Defaults())


def head(status: int = 200, *fields: tuple[bytes, bytes]) -> ResponseHead:
    return raw_head(status, list(fields))


LENGTH_5 = (b"content-length", b"5")


@pytest.mark.parametrize(
    ("method", "status", "length", "http11", "expected"),
    [
        ("HEAD", 200, 5, True, NOTHING),
        ("HEAD", 200, None, False, NOTHING),
        ("GET", 204, None, True, NOTHING),
        ("GET", 304, 5, True, NOTHING),
        ("GET", 200, 0, True, BY_LENGTH),
        ("GET", 200, 5, False, BY_LENGTH),
        ("POST", 500, None, True, BY_CHUNKS),
        ("POST", 500, None, False, BY_CLOSE),
    ],
)
def test_framing(method: str, status: int, length: int | None, http11: bool, expected: int) -> None:
    """S10: the steps of RFC 9112 §6.3, in their order."""
    assert framing(method, status, length, http11=http11) == expected


@pytest.mark.parametrize(
    ("fields", "size", "expected"),
    [
        ([LENGTH_5], None, b"content-length: 5\r\n"),
        ([LENGTH_5], 5, b"content-length: 5\r\n"),
        ([], 5, b"content-length: 5\r\n"),
        ([], None, b"transfer-encoding: chunked\r\n"),
    ],
)
def test_the_head_leaves_with_the_first_piece(
    fields: list[Any], size: int | None, expected: bytes
) -> None:
    """S10: head and first piece are one write, and the head comes once."""
    sent = response()
    sent.start(head(200, *fields), keep_alive=True, size=size)
    first = b"".join(sent.write(b"hello"))
    assert first.startswith(b"HTTP/1.1 200 OK\r\n" + expected + OURS + b"\r\n")
    assert b"HTTP" not in b"".join(sent.write(b"")) + sent.finish()
    assert (sent.sent, sent.keep_alive) == (5, True)
    assert (b"date", b"now") in sent.fields


def test_chunks() -> None:
    """S10: each piece is a chunk, an empty one is none, and the last ends the body."""
    sent = response()
    sent.start(head(), keep_alive=True)
    wire = b"".join([*sent.write(b""), *sent.write(b"a" * 16), *sent.write(b"b"), sent.finish()])
    assert wire.partition(b"\r\n\r\n")[2] == b"10\r\n" + b"a" * 16 + b"\r\n1\r\nb\r\n0\r\n\r\n"
    assert not sent.has_length
    assert not sent.ends_with_connection


def test_the_end_of_the_connection_ends_the_body() -> None:
    """S10: HTTP/1.0 knows no chunks (RFC 9112 §6.3, step 8)."""
    sent = response(http11=False)
    sent.start(head(), keep_alive=True)
    assert sent.ends_with_connection
    assert not sent.keep_alive
    wire = b"".join([*sent.write(b"a"), *sent.write(b"b"), sent.finish()])
    before, _, body = wire.partition(b"\r\n\r\n")
    assert b"connection: close" in before
    assert body == b"ab"


@pytest.mark.parametrize(
    ("http11", "keep_alive", "fields", "line"),
    [
        (True, True, [], None),
        (True, False, [], b"close"),
        (True, True, [(b"connection", b"close")], b"close"),
        (False, True, [], b"keep-alive"),
        (False, False, [], b"close"),
    ],
)
def test_what_is_said_of_the_connection(
    http11: bool, keep_alive: bool, fields: list[Any], line: bytes | None
) -> None:
    """S1: HTTP/1.1 goes on unless one says close, HTTP/1.0 the other way round."""
    sent = response(http11=http11)
    sent.start(head(200, LENGTH_5, *fields), keep_alive=keep_alive)
    assert dict(sent.fields).get(b"connection") == line
    assert sent.keep_alive == (line != b"close")


def test_an_apps_own_date_and_server() -> None:
    """S11: what the app says itself, the server does not add."""
    sent = response()
    sent.start(head(200, (b"date", b"then"), (b"server", b"me"), LENGTH_5), keep_alive=True)
    assert sent.fields == [(b"date", b"then"), (b"server", b"me"), LENGTH_5]


@pytest.mark.parametrize(
    ("status", "method", "fields", "size", "length"),
    [
        (204, "GET", [LENGTH_5], 5, None),
        (204, "GET", [], 0, None),
        (304, "GET", [LENGTH_5], 5, b"5"),
        (200, "HEAD", [LENGTH_5], 0, b"5"),
        (200, "HEAD", [], 7, b"7"),
        (200, "HEAD", [], 0, None),
    ],
)
def test_responses_without_a_body(
    status: int, method: str, fields: list[Any], size: int, length: bytes | None
) -> None:
    """S10: no byte of a body leaves; 204 tells no length (RFC 9110 §8.6), HEAD what is known."""
    sent = response(method)
    sent.start(head(status, *fields), keep_alive=True, size=size)
    wire = b"".join([*sent.write(b"x" * size), sent.finish()])
    assert wire.endswith(b"\r\n\r\n")
    assert dict(sent.fields).get(b"content-length") == length
    assert (sent.sent, sent.keep_alive) == (0, True)


def test_more_than_the_declared_length(caplog: pytest.LogCaptureFixture) -> None:
    """W36: what is beyond Content-Length is dropped, the reason is kept, the connection ends."""
    sent = response()
    sent.start(head(200, LENGTH_5), keep_alive=True)
    assert sent.dropped_because == ""
    wire = b"".join([*sent.write(b"abc"), *sent.write(b"defg"), sent.finish()])
    assert wire.endswith(b"\r\n\r\nabcde")
    assert "longer than its Content-Length of 5" in sent.dropped_because
    assert "by 2 or more" in caplog.text
    assert not sent.keep_alive


def test_less_than_the_declared_length(caplog: pytest.LogCaptureFixture) -> None:
    """W36: a body that ends too early can be told by the end of the connection."""
    sent = response()
    sent.start(head(200, LENGTH_5), keep_alive=True)
    assert b"".join([*sent.write(b"abc"), sent.finish()]).endswith(b"abc")
    assert "has 3 bytes" in caplog.text
    assert not sent.keep_alive


def test_an_empty_body() -> None:
    """S10: a head without a body leaves with the end."""
    sent = response()
    sent.start(head(200, (b"content-length", b"0")), keep_alive=True)
    assert sent.finish().endswith(b"\r\n\r\n")


def test_trailers() -> None:
    """S10: announced trailers come behind the last chunk, and an app's length gives way to them."""
    sent = response()
    sent.start(head(200, LENGTH_5), keep_alive=True, size=5, trailers=True)
    wire = b"".join([*sent.write(b"hello"), sent.finish(trailers=True)])
    wire += sent.trailers(raw_fields([(b"x-a", b"1")]), last=False)
    wire += sent.trailers(raw_fields([(b"x-b", b"2")]), last=True)
    before, _, body = wire.partition(b"\r\n\r\n")
    assert b"content-length" not in before
    assert body == b"5\r\nhello\r\n0\r\nx-a: 1\r\nx-b: 2\r\n\r\n"


def test_trailers_that_nobody_gets() -> None:
    """S10: HTTP/1.0 has none, and its response is framed as without them."""
    sent = response(http11=False)
    sent.start(head(200, LENGTH_5), keep_alive=True, trailers=True)
    assert sent.has_length
    assert b"".join([*sent.write(b"hello"), sent.finish(trailers=True)]).endswith(b"hello")
    assert sent.trailers(raw_fields([(b"x-a", b"1")]), last=True) == b""


@pytest.mark.parametrize(
    ("method", "fields", "size", "expected"),
    [
        ("GET", [LENGTH_5], 5, (b"", 5, b"")),
        ("GET", [LENGTH_5], 9, (b"", 5, b"")),
        ("GET", [], 16, (b"10\r\n", 16, b"\r\n")),
        ("GET", [], 0, (b"", 0, b"")),
        ("HEAD", [LENGTH_5], 5, (b"", 0, b"")),
    ],
)
def test_files(
    method: str, fields: list[Any], size: int, expected: tuple[bytes, int, bytes]
) -> None:
    """S10, W41: a file is one piece of body, which the kernel sends between what frames it."""
    sent = response(method)
    sent.start(head(200, *fields), keep_alive=True)
    before, count, after = sent.write_file(size)
    sent.wrote_file(count)
    assert before.startswith(b"HTTP/1.1 200")
    assert (before.partition(b"\r\n\r\n")[2], count, after) == expected
    assert sent.sent == count


def test_what_comes_before_a_response() -> None:
    """S5, S10: 100 and 103 come before the head, not behind it; HTTP/1.0 knows no 103."""
    sent = response()
    links = raw_fields([(b"link", b"</a>")])
    assert sent.continue_() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert sent.early_hints(links) == b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    sent.start(head(200, LENGTH_5), keep_alive=True)
    assert (sent.continue_(), sent.early_hints(links)) == (b"", b"")
    assert response(http11=False).early_hints(links) == b""


# ------------------------------------------------------------- methods of the connection


class State:
    """What the response asks of the server's state."""

    def __init__(self) -> None:
        self.stop_phase = SERVING
        self.default_fields = Defaults()
        self.default_end = OURS + b"\r\n"


class Connection:
    """A connection that keeps what is written."""

    def __init__(self) -> None:
        self.state = State()
        self.client_left = False
        self.written: list[bytes] = []
        self.output = self

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def write_parts(self, parts: tuple[bytes, ...]) -> None:
        self.written.extend(parts)


class Exchange:
    """An exchange that keeps how it ended."""

    def __init__(self, asked: Request) -> None:
        self.request = asked
        self.keep_alive_fast = asked.keep_alive_fast
        self.served = Served("-", "old", b"x-served-by: old\r\n")
        self.body = RequestBody(WHOLE)
        self.response: Response | None = None
        self.ended: tuple[Any, ...] | None = None

    def start_response(self, head: ResponseHead, *, size: int) -> Response:
        self.response = Response(self.request, Defaults())
        self.response.start(head, keep_alive=True, size=size, more=self.served.lines)
        return self.response

    def end(self, *whole: Any) -> None:
        self.ended = whole


@pytest.mark.parametrize("size", [5, 50_000])
def test_the_fast_path_and_the_slow_one_give_the_same(size: int) -> None:
    """S10: what needs no `Response` looks as if one had made it; large bodies are not copied."""
    body = b"x" * size
    plain = head(200, (b"content-length", b"%d" % size))
    fast, slow = Exchange(request()), Exchange(request())
    slow.keep_alive_fast = False
    wires = []
    for exchange in (fast, slow):
        connection: Any = Connection()
        send_whole(connection, exchange, plain, body)  # type: ignore[arg-type]
        wires.append(b"".join(connection.written))
    assert wires[0] == wires[1]
    assert b"\r\nx-served-by: old\r\n" in wires[0]
    assert fast.response is None
    assert fast.ended == (200, size, wires[0][:-size])
    assert slow.ended == ()


@pytest.mark.parametrize("unusual", ["length", "head", "request", "client left", "server stops"])
def test_what_is_not_on_the_fast_path(unusual: str) -> None:
    """S10: whatever changes the head, or what follows it, has a `Response` look at it."""
    exchange: Any = Exchange(request())
    connection: Any = Connection()
    assert fast_head(connection, exchange, head(200, LENGTH_5), 5)
    given = head(200, LENGTH_5, (b"date", b"then")) if unusual == "head" else head(200, LENGTH_5)
    size = 4 if unusual == "length" else 5
    if unusual == "request":
        exchange.keep_alive_fast = False
    connection.client_left = unusual == "client left"
    connection.state.stop_phase = RETIRING if unusual == "server stops" else SERVING
    assert fast_head(connection, exchange, given, size) is None
    send_whole(connection, exchange, given, b"x" * size)
    assert exchange.response is not None


def test_a_response_that_was_opened_is_not_on_the_fast_path() -> None:
    """S10: what left before the head, 100 or 103, is the `Response`'s, and so is the rest."""
    connection: Any = Connection()
    connection.state.timed = False
    connection.responder = responder
    exchange: Any = exchanges.Exchange(connection, request())
    assert fast_head(connection, exchange, head(200, LENGTH_5), 5)
    exchange.open_response()
    assert fast_head(connection, exchange, head(200, LENGTH_5), 5) is None


@pytest.mark.parametrize(("http11", "ends"), [(True, False), (False, True)])
def test_what_only_the_end_of_the_connection_ends(http11: bool, ends: bool) -> None:
    """S10: HTTP/1.0 has no chunks: without a length, a body ends with the connection."""
    connection: Any = Connection()
    connection.state.timed = False
    connection.responder = responder
    exchange: Any = exchanges.Exchange(connection, request(http11=http11))
    assert not responder.ends_with_connection(exchange)
    exchange.start_response(head(200))
    assert responder.ends_with_connection(exchange) is ends


def test_when_a_connection_goes_on() -> None:
    """S1, W26: not if either side wants its end, nor if too much of a body is still to come."""
    connection: Any = Connection()
    exchange: Any = Exchange(request())
    assert keeps_alive(connection, exchange)
    exchange.request.length = DRAIN_LIMIT + 5
    exchange.body = RequestBody(PARTIAL)
    assert not keeps_alive(connection, exchange)
    exchange.body.feed(b"12345")
    assert keeps_alive(connection, exchange)
    exchange.body = RequestBody(PARTIAL, awaits_continue=True)
    exchange.body.feed(b"12345")
    assert not keeps_alive(connection, exchange)
    exchange.body.stop_awaiting_continue()
    for stop in ("request.close", "connection.client_left", "connection.state.stop_phase"):
        thing, _, name = stop.rpartition(".")
        owner = {"request": exchange.request, "connection": connection}.get(thing, connection.state)
        setattr(owner, name, 1)
        assert not keeps_alive(connection, exchange)
        setattr(owner, name, 0)
