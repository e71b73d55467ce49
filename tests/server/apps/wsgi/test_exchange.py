"""WSGI exchanges up to the moment when the app runs, and what they give it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from bridge.errors import ClientDisconnected, RequestError
from bridge.runners.threads.runner import ThreadRunner
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.support.raw import chunked, request
from tests.support.serving import Served, served
from tests.support.waiting import eventually

RUNNERS = ["thread", "greenlet", "inline"]
CHUNKED = "Transfer-Encoding: chunked"
EXPECT = "Expect: 100-continue"
#: More than may wait for an app that does not run yet.
LARGE = 200_000


class Reads:
    """A WSGI app that reads all of its body, and answers with its length and CONTENT_LENGTH."""

    def __init__(self) -> None:
        #: Set when it is called.
        self.begun = threading.Event()
        #: What its reads have raised.
        self.raised: list[Exception] = []

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        self.begun.set()
        try:
            size = len(environ["wsgi.input"].read())
        except Exception as error:
            self.raised.append(error)
            raise
        start_response("200 OK", [])
        return [f"{size} of {environ.get('CONTENT_LENGTH')}".encode()]


def head(size: int | None, *fields: str) -> bytes:
    """The head of a request with a body of `size` bytes; None: in chunks."""
    length = CHUNKED if size is None else f"Content-Length: {size}"
    return request("/", length, *fields, method="POST")


def taken(server: Served, number: int = 1) -> None:
    """Wait until the server has read the heads of so many requests."""
    connections = server.server.state.connections

    def running() -> int:
        return sum(getattr(each, "exchange", None) is not None for each in connections)

    eventually(lambda: server.call(running) == number)


@pytest.mark.parametrize("size", [16 * 1024 - 1, 16 * 1024, 50_000, 3_000_000])
@pytest.mark.parametrize("runner", RUNNERS)
def test_large_bodies_in_one_piece(size: int, runner: str) -> None:
    """W35, S10: a body that is not copied to its head is whole, and the connection goes on."""
    body = bytes(range(256)) * (size // 256 + 1)

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", str(size))])
        return [body[:size]]

    with served(WsgiToAsgi(app, runner=runner)) as server, server.connect() as client:
        for _ in range(3):
            assert client.get("/").body == body[:size]
        client.send(request("/") * 3)
        for _ in range(3):
            assert client.response().body == body[:size]


def test_a_closed_input_is_nobody_elses() -> None:
    """W20: an app that closes the input of a request does not close that of the next."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"].read()
        environ["wsgi.input"].close()
        start_response("200 OK", [])
        return [b"read %d" % len(body)]

    with served(app) as server, server.connect() as client:
        for _ in range(3):
            assert client.get("/").body == b"read 0"


def test_an_environ_is_its_own_requests() -> None:
    """W7, W10: what an app does to its environ, no other request on the connection sees."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        found = [environ.get(key) for key in ("REMOTE_ADDR", "x.mine")]
        gone = environ["bridge.disconnected"]()
        environ["x.mine"] = "here"
        del environ["REMOTE_ADDR"]
        start_response("200 OK", [])
        return [repr((found, gone)).encode()]

    with served(app) as server, server.connect() as client:
        for _ in range(4):
            assert client.get("/").body == b"(['127.0.0.1', None], False)"


def test_early_hints_say_nothing_of_the_response() -> None:
    """W42: fields that speak of the response itself are not sent with 103 (RFC 9110 §8.6)."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        link = ("Link", "</style.css>; rel=preload")
        environ["wsgi.early_hints"]([("Content-Length", "5"), link, ("Date", "now"), ("X-A", "1")])
        start_response("200 OK", [("Content-Length", "5")])
        return [b"hello"]

    with served(app) as server, server.connect() as client:
        client.send(request("/"))
        lines = [client.line() for _ in range(4)]
        assert lines == [
            b"HTTP/1.1 103 Early Hints", b"Link: </style.css>; rel=preload", b"X-A: 1", b"",
        ]  # fmt: skip
        assert client.response().body == b"hello"


def test_the_scope_of_a_request() -> None:
    """W10: an app finds the ASGI scope of its request, and what it does not know of HTTP/1.0."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        scope = environ["asgi.scope"]
        found = environ["SERVER_PROTOCOL"], scope["http_version"], scope["path"]
        return [repr((*found, "wsgi.early_hints" in environ)).encode()]

    with served(app) as server, server.connect() as client:
        assert client.get("/x").body == b"('HTTP/1.1', '1.1', '/x', True)"
        client.send(b"GET /x HTTP/1.0\r\n\r\n")
        assert client.response().body == b"('HTTP/1.0', '1.0', '/x', False)"


# ------------------------------------------------------------- bodies


@pytest.mark.parametrize("size", [5, LARGE])
@pytest.mark.parametrize("spool_body", [None, 10])
@pytest.mark.parametrize("runner", RUNNERS)
def test_bodies(runner: str, spool_body: int | None, size: int) -> None:
    """W20, W25: an app reads all of its body, however that comes, and wherever it is kept."""
    body, half = b"x" * size, size // 2
    app = WsgiToAsgi(Reads(), runner=runner, spool_body=spool_body)
    with served(app) as server, server.connect() as client:
        client.send(head(size) + body)
        assert client.response().body == b"%d of %d" % (size, size)
        client.send(head(size))
        taken(server)
        client.send(body[:half])
        client.send(body[half:])
        assert client.response().body == b"%d of %d" % (size, size)
        client.send(head(None))
        taken(server)
        client.send(chunked(body[:half], body[half:]))
        assert client.response().body.startswith(b"%d of " % size)


def test_a_small_body_in_chunks_has_a_length() -> None:
    """W24: the length of a chunked body that came with its head is known."""
    with served(Reads()) as server, server.connect() as client:
        client.send(head(None) + chunked(b"hel", b"lo"))
        assert client.response().body == b"5 of 5"


@pytest.mark.parametrize(
    ("runner", "spool_body", "first"),
    [
        ("thread", None, "100"),
        ("thread", 10, "100"),
        ("greenlet", None, "app"),
        ("greenlet", 10, "100"),
        ("inline", None, "100"),
    ],
)
def test_a_client_that_waits_for_100(runner: str, spool_body: int | None, first: str) -> None:
    """S5, W25: it gets its 100 when the app reads; at once, if the app needs the body to run."""
    reads = Reads()
    app = WsgiToAsgi(reads, runner=runner, spool_body=spool_body)
    with served(app) as server, server.connect() as client:
        client.send(head(5, EXPECT))
        assert client.line() == b"HTTP/1.1 100 Continue"
        assert client.line() == b""
        assert reads.begun.is_set() == (first == "app")
        client.send(b"hello")
        assert client.response().body == b"5 of 5"


@pytest.mark.parametrize("size", [100, LARGE])
def test_a_body_that_breaks_a_rule(size: int) -> None:
    """S6, W23: the client gets a 400; the app hears of it in its read, or never runs."""
    reads = Reads()
    with served(reads) as server, server.connect() as client:
        client.send(head(None) + b"%x\r\n%b\r\n" % (size, b"x" * size))
        if size == LARGE:
            assert reads.begun.wait(20)
        else:
            taken(server)
        client.send(b"no size\r\n")
        assert client.response().status == 400
        assert client.is_closed()
        assert reads.begun.is_set() == (size == LARGE)
    assert [type(error) for error in reads.raised] == [RequestError] * (size == LARGE)


@pytest.mark.parametrize("leaves", ["ends", "resets"])
@pytest.mark.parametrize("size", [100, LARGE])
def test_a_client_that_leaves_in_its_body(size: int, leaves: str) -> None:
    """W23, W25: the app's read raises; an app that does not run yet never does."""
    reads = Reads()
    with served(reads) as server:
        connections = server.server.state.connections
        with server.connect() as client:
            client.send(head(size + 1) + b"x" * size)
            if size == LARGE:
                assert reads.begun.wait(20)
            else:
                taken(server)
            if leaves == "ends":
                client.end_sending()
                assert client.everything() == b""
            else:
                client.reset()
        eventually(lambda: server.call(lambda: len(connections)) == 0)
        eventually(lambda: len(reads.raised) == (size == LARGE))
    assert reads.begun.is_set() == (size == LARGE)
    assert [type(error) for error in reads.raised] == [ClientDisconnected] * (size == LARGE)


def test_a_request_that_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """W52, S6: beyond threads and queue a request is refused, and a line of the log tells of it."""
    begun, release = threading.Event(), threading.Event()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        begun.set()
        assert release.wait(20)
        start_response("200 OK", [])
        return [b"ok"]

    caplog.set_level("INFO", "bridge")
    wrapped = WsgiToAsgi(app, runner=ThreadRunner(threads=1, queue_limit=0))
    with served(wrapped) as server, server.connect() as client, server.connect() as late:
        client.send(request("/"))
        assert begun.wait(20)
        assert late.get("/").status == 503
        release.set()
        assert client.response().body == b"ok"
    assert "refused: 1 x 503 Service Unavailable" in caplog.text
