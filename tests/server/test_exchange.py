"""One request and its response, whatever the app: the body, the waits, the ends, the record."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from bridge.errors import ClientDisconnected
from bridge.server.exchange import DONE
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.support.in_loop import Talk, bytewise, in_loop
from tests.support.raw import Closed, chunked, parse_responses, request
from tests.support.serving import served
from tests.support.waiting import eventually

RUNNERS = ["thread", "greenlet", "inline"]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the body."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message.get("body", b""), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def wsgi_echo(environ: Any, start_response: Any) -> list[bytes]:
    """Answer with the body."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [body]


class Log:
    """An access log that keeps what it is told."""

    def __init__(self, *, timed: bool = True) -> None:
        self.timed = timed
        self.seen: list[tuple[str, int, int]] = []
        self.fields: list[Any] = []
        self.started: list[float] = []

    def __call__(self, record: Any) -> None:
        self.seen.append((record.request.path, record.status, record.sent))
        self.fields.append(record.response_headers)
        self.started.append(getattr(record, "started", 0.0))


EXPECT = "Expect: 100-continue"
POST = request("/", method="POST", body=b"hello")
CHUNKED = request("/", "Transfer-Encoding: chunked", method="POST") + chunked(b"he", b"llo")


@pytest.mark.parametrize("app", [echo, wsgi_echo], ids=["asgi", "wsgi"])
@pytest.mark.parametrize("message", [POST, CHUNKED], ids=["sized", "chunked"])
def test_bodies_in_any_pieces(app: Any, message: bytes) -> None:
    """S3: a body is the same however it is cut on its way."""
    wrapped = WsgiToAsgi(app, runner="inline") if app is wsgi_echo else app
    with in_loop(wrapped) as server:
        for pieces in ([message * 3], [message] * 3, bytewise(message) * 3):
            answers = parse_responses(server.talk(pieces))
            assert [answer.body for answer in answers] == [b"hello"] * 3


@pytest.mark.parametrize("runner", ["asgi", *RUNNERS])
def test_large_bodies(runner: Any) -> None:
    """S3, W21: reading stops while much waits for the app, and goes on when it has taken it."""
    body = bytes(range(256)) * 4000
    app = echo if runner == "asgi" else WsgiToAsgi(wsgi_echo, runner=runner)
    with served(app) as server, server.connect() as client:
        for _ in range(2):
            client.send(request("/", method="POST", body=body))
            assert client.response().body == body


@pytest.mark.parametrize("runner", ["asgi", *RUNNERS])
def test_continue(runner: Any) -> None:
    """S5: a client that waits for 100 Continue gets it, once."""
    app = echo if runner == "asgi" else WsgiToAsgi(wsgi_echo, runner=runner)
    with served(app) as server, server.connect() as client:
        for _ in range(2):
            client.send(request("/", EXPECT, "Content-Length: 5", method="POST"))
            assert client.line() == b"HTTP/1.1 100 Continue"
            assert client.line() == b""
            client.send(b"he")
            client.send(b"llo")
            response = client.response()
            assert (response.informational, response.body) == ([], b"hello")


def test_no_continue_for_a_client_that_does_not_wait() -> None:
    """S5: a client that sends its body without waiting for 100 Continue gets none."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await echo(scope, receive, send)

    with in_loop(app) as server:
        talk = server.run(server.open())
        server.run(talk.send(request("/", EXPECT, "Content-Length: 5", method="POST")))
        server.run(talk.send(b"hello"))
        go.set()
        (answer,) = parse_responses(server.run(talk.end()))
        assert (answer.informational, answer.body) == ([], b"hello")
        talk.sock.close()


def test_what_follows_the_end_of_an_exchange() -> None:
    """W26, S14: a body that still comes is dropped, and there is nothing left to abort."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    with in_loop(app) as server:
        talk = server.run(server.open())
        server.run(talk.send(request("/", "Content-Length: 9", method="POST") + b"early"))
        exchange = talk.protocol.exchange
        assert exchange is not None
        go.set()
        server.run(until(talk, lambda: talk.answer.endswith(b"done")))
        assert exchange.feed(b"late")
        exchange.abort()
        assert (exchange.response_state, exchange.body.size) == (DONE, 5)
        server.run(talk.send(b"late" + request("/", "Connection: close")))
        answers = parse_responses(server.run(talk.end()))
        assert [answer.body for answer in answers] == [b"done", b"done"]
        talk.sock.close()


def test_a_stop_while_an_exchange_runs() -> None:
    """P2: its response is the last of the connection, though it does not say so."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"last"})

    with in_loop(app) as server:
        talk = server.run(server.open())
        server.run(talk.send(request("/")))
        talk.protocol.shutdown(at_once=False)
        go.set()
        server.run(until(talk, lambda: talk.ended))
        (answer,) = parse_responses(bytes(talk.answer))
        assert answer.body == b"last"
        talk.sock.close()


async def until(talk: Talk, holds: Callable[[], object]) -> None:
    """Let the loop turn until that holds."""
    while not holds():
        await talk.turn()


def test_no_continue_behind_the_head() -> None:
    """S5: an app that answers first, and reads then, gets its body without 100 Continue."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first ", "more_body": True})
        await send({"type": "http.response.body", "body": (await receive())["body"]})

    with served(app) as server, server.connect() as client:
        client.send(request("/", EXPECT, "Content-Length: 5", method="POST"))
        assert client.line() == b"HTTP/1.1 200 OK"
        client.send(b"hello")
        assert b"first " in client.everything()


@pytest.mark.parametrize("runner", ["thread", "greenlet"])
def test_the_client_leaves_in_its_body(runner: Any) -> None:
    """W23: half a body never passes for a whole one."""
    raised: list[str] = []
    begun = threading.Event()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        begun.set()
        try:
            environ["wsgi.input"].read()
        except ClientDisconnected as error:
            raised.append(str(error))
            raise
        return []

    with served(WsgiToAsgi(app, runner=runner)) as server:
        client = server.connect()
        client.send(request("/", "Content-Length: 200000", method="POST") + bytes(150_000))
        assert begun.wait(20)
        client.end_sending()
        eventually(lambda: raised)
        client.sock.close()
    assert raised == ["the client left after 150000 bytes of the request body"]


@pytest.mark.parametrize("runner", ["thread", "greenlet"])
def test_a_body_that_breaks_a_rule(runner: Any) -> None:
    """S3, S6: a body that breaks a rule is a 400, and the app that reads it is told."""
    raised: list[str] = []
    begun = threading.Event()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        begun.set()
        try:
            environ["wsgi.input"].read()
        except Exception as error:
            raised.append(type(error).__name__)
            raise
        return []

    head = request("/", "Transfer-Encoding: chunked", method="POST")
    with served(WsgiToAsgi(app, runner=runner)) as server, server.connect() as client:
        client.send(head + chunked(bytes(150_000))[:-5])
        assert begun.wait(20)
        client.send(b"no chunk\r\n")
        assert client.response().status == 400
        assert client.is_closed()
        eventually(lambda: raised)
    assert raised == ["RequestError"]


@pytest.mark.parametrize("runner", ["asgi", "wsgi"])
def test_a_body_above_the_limit(runner: str) -> None:
    """W22: the limit is the app's own, else the server's; what is above it is a 413."""
    settings: dict[str, Any] = {}
    if runner == "asgi":
        app: Any = echo
        settings["limit_body_size"] = 5
    else:
        app = WsgiToAsgi(wsgi_echo, max_body_size=5)
    for message in (POST, CHUNKED):
        with served(app, **settings) as server, server.connect() as client:
            client.send(message)
            assert client.response().body == b"hello"
            client.send(message.replace(b"llo", b"llooo").replace(b": 5", b": 7")
                        .replace(b"\r\n3\r\n", b"\r\n5\r\n"))  # fmt: skip
            assert client.response().status == 413


def test_a_read_behind_the_response() -> None:
    """W26: what an app reads of the body when its response is over was dropped."""
    raised: list[str] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        yield b"o"
        yield b"k"
        try:
            while environ["wsgi.input"].read(65536):
                pass
        except ClientDisconnected as error:
            raised.append(str(error))

    with served(WsgiToAsgi(app, runner="thread")) as server, server.connect() as client:
        client.send(request("/", "Content-Length: 200000", method="POST") + bytes(150_000))
        assert client.response().body == b"ok"
        eventually(lambda: raised)
    assert "the response is over" in raised[0]


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("runner", ["asgi", *RUNNERS])
def test_the_record(runner: Any, timed: bool) -> None:
    """S50: the log has status, size and fields of each response, and its time if it wants it."""

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 201, "headers": [(b"x-a", b"1")]})
        whole = scope["path"] == "/whole"
        if not whole:
            await send({"type": "http.response.body", "body": b"ab", "more_body": True})
        await send({"type": "http.response.body", "body": b"abcd" if whole else b"cd"})

    def wsgi(environ: Any, start_response: Any) -> Any:
        start_response("201 Created", [("X-A", "1")])
        return [b"abcd"] if environ["PATH_INFO"] == "/whole" else iter([b"ab", b"cd"])

    log = Log(timed=timed)
    with served(asgi if runner == "asgi" else WsgiToAsgi(wsgi, runner=runner)) as server:
        server.call(lambda: server.server.state.use_access_log(log))
        with server.connect() as client:
            for path in ("/whole", "/pieces"):
                assert client.get(path).body == b"abcd"
            eventually(lambda: len(log.seen) == 2)
    assert log.seen == [("/whole", 201, 4), ("/pieces", 201, 4)]
    assert all((b"x-a", b"1") in [(n.lower(), v) for n, v in fields] for fields in log.fields)
    assert [started > 0 for started in log.started] == [timed] * 2


@pytest.mark.parametrize("runner", ["asgi", *RUNNERS])
@pytest.mark.parametrize("logged", [True, False])
def test_a_response_that_breaks_off(runner: Any, logged: bool) -> None:
    """S14, S50: it is cut, so that the client can tell; the log has what left."""

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("the other half is missing")

    def wsgi(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"half"
        raise RuntimeError("the other half is missing")

    log = Log()
    with served(asgi if runner == "asgi" else WsgiToAsgi(wsgi, runner=runner)) as server:
        if logged:
            server.call(lambda: server.server.state.use_access_log(log))
        with server.connect() as client:
            client.send(request("/"))
            with pytest.raises((Closed, ConnectionResetError)):
                client.response()
    assert log.seen == ([("/", 200, 4)] if logged else [])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_refused_before_the_head(method: str) -> None:
    """W38, S6: an app that fails before its head leaves a 500, without a body for HEAD."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("nothing works")

    with served(app) as server, server.connect() as client:
        for _ in range(2):
            response = client.get("/", method=method)
            assert response.status == 500
            assert bool(response.body) == (method == "GET")


def test_what_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    """S12: an app whose bytes are dropped, though its client is there, learns why."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        fields = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"okay", "more_body": True})
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"more", "more_body": True})
        await send({"type": "http.response.body"})

    with served(app) as server, server.connect() as client:
        assert client.get("/").body == b"ok"
        assert client.is_closed()
    assert "longer than its Content-Length" in caplog.text


def test_several_tasks_that_wait() -> None:
    """S12: all the tasks of an app that wait for its client hear of it when it leaves."""
    heard: list[str] = []
    begun = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()

        async def hear() -> None:
            heard.append((await receive())["type"])

        tasks = [asyncio.ensure_future(hear()) for _ in range(3)]
        await asyncio.sleep(0)
        begun.set()
        await asyncio.gather(*tasks)

    with served(app) as server:
        client = server.connect()
        client.send(request("/"))
        assert begun.wait(20)
        client.sock.close()
        eventually(lambda: len(heard) == 3)
    assert heard == ["http.disconnect"] * 3


def test_asgi_hears_of_a_client_that_stops_in_its_body() -> None:
    """S12, W23: `receive` tells of a client that sends no more in the middle of its body."""
    heard: list[str] = []
    begun = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while not heard or heard[-1] == "http.request":
            heard.append((await receive())["type"])
            begun.set()

    with served(app) as server, server.connect() as client:
        client.send(request("/", "Content-Length: 10", method="POST") + b"hello")
        assert begun.wait(20)
        client.end_sending()
        eventually(lambda: heard[-1] == "http.disconnect")


def test_asgi_sends_behind_a_refusal() -> None:
    """S12, S6: what an app sends when its request has been refused is dropped, and it is told."""
    raised: list[BaseException] = []
    begun, refused = threading.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        begun.set()
        await refused.wait()
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(3):
                await send({"type": "http.response.body", "body": b"late", "more_body": True})
        except OSError as error:
            raised.append(error)
            raise

    head = request("/", "Transfer-Encoding: chunked", method="POST")
    with served(app) as server, server.connect() as client:
        client.send(head + b"5\r\nhello\r\n")
        assert begun.wait(20)
        client.send(b"no chunk\r\n")
        assert client.response().status == 400
        server.call(refused.set)
        assert client.is_closed()
        eventually(lambda: raised)


def test_a_thread_counts_its_response_before_its_head() -> None:
    """S2: with a limit of requests, a response is known to end before its client can come back."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"ok"]

    with served(app, limit_requests=10) as server:
        for _ in range(3):
            with server.connect() as client:
                assert client.get("/", "Connection: close").body == b"ok"
                assert client.is_closed()


def test_a_line_of_the_log_in_its_context() -> None:
    """S50: the line of a response that a thread has left to the loop sees its request's context."""
    name: ContextVar[str] = ContextVar("name", default="none")
    seen: list[tuple[str, str]] = []
    begun, release = threading.Event(), threading.Event()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        name.set(environ["PATH_INFO"])
        begun.set()
        assert release.wait(20)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    class Named(Log):
        def __call__(self, record: Any) -> None:
            seen.append((record.request.path, name.get()))

    wrapped = WsgiToAsgi(app, threads=1)
    with served(wrapped) as server, server.connect() as first, server.connect() as second:
        server.call(lambda: server.server.state.use_access_log(Named()))
        first.send(request("/first"))
        assert begun.wait(20)
        second.send(request("/second"))
        eventually(lambda: wrapped.runner.stats().queued == 1)
        release.set()
        assert first.response().body == second.response().body == b"ok"
        eventually(lambda: len(seen) == 2)
    assert seen == [("/first", "/first"), ("/second", "/second")]
