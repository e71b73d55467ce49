"""An ASGI app and its request: what it receives, may send, and hears of a client that has left."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.server.http1.input import HALF_CLOSE_GRACE
from bridge.types import Message, Receive, Scope, Send
from tests.conftest import StartHost
from tests.support.apps.http_rules import body, start
from tests.support.events import event
from tests.support.hosts import BRIDGE_WORKER, Host, bridge, gunicorn
from tests.support.in_loop import PATIENCE, InLoop, Talk, in_loop
from tests.support.raw import Client, Closed, Response, chunked, parse_responses, request
from tests.support.waiting import eventually

APP = "tests.support.apps.disconnects:app"
HOSTS = {
    "bridge": bridge(APP, "--lifespan=off"),
    "mounted": bridge("--mount", f"/={APP}", "--lifespan=off"),
    "worker": gunicorn(APP, "--access-logfile=-", worker=BRIDGE_WORKER),
}


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest, start_host: StartHost) -> Host:
    return start_host(HOSTS[request.param])


@pytest.fixture
def client(host: Host) -> Iterator[Client]:
    with Client(host.connect()) as client:
        yield client


def begins(host: Host, name: str) -> None:
    eventually(lambda: event(host, name) == "waits")


@pytest.mark.parametrize("closed", ["by reset", "by close"])
def test_send_after_the_app_was_told(host: Host, client: Client, closed: str) -> None:
    """S12: after http.disconnect, send() raises OSError, and there was no such response."""
    client.send(request("/told"))
    begins(host, "told")
    client.reset() if closed == "by reset" else client.sock.close()
    eventually(lambda: event(host, "told") == "OSError at message 1")
    assert '"GET /told HTTP/1.1" 200' not in host.log()


def test_an_answer_behind_a_stream_that_was_left(host: Host, client: Client) -> None:
    """S12: what an app sends then is no error of the app's, in whatever order."""
    client.send(request("/again"))
    begins(host, "again")
    client.sock.close()
    eventually(lambda: event(host, "again") == "OSError")
    assert event(host, "told") is None
    assert "Traceback" not in host.log()


def test_empty_pieces(host: Host, client: Client) -> None:
    """S12: an app that sends nothing, and does not ask, is told all the same."""
    client.send(request("/empty"))
    begins(host, "empty")
    while b"first" not in client.data:
        client.data += client.more()
    client.sock.close()
    eventually(lambda: event(host, "empty") == "OSError")


def test_a_whole_response_in_vain(host: Host, client: Client) -> None:
    """S12: a small response is taken as if the client had left a moment later; a stream is not."""
    sent = {"/none?0": "all sent", "/one?1": "all sent", "/two?2": "OSError at message 3"}
    for target in sent:
        with Client(host.connect()) as leaving:
            leaving.send(request(target))
            begins(host, target.partition("?")[0])
            leaving.reset()
    client.get("/go")
    for target, what in sent.items():
        name = target.partition("?")[0]
        eventually(lambda name=name: event(host, name) != "waits")  # type: ignore[misc]
        assert event(host, name) == what
    assert "/none" not in host.log()  # no line of an answer that nobody got


def test_a_listener_is_told_before_send_raises(host: Host, client: Client) -> None:
    """S12: a task in receive() is told first; if it cancels no other, send() raises then."""
    client.send(request("/listening"))
    client.more()
    client.reset()
    eventually(lambda: event(host, "listening") == "told then OSError")


def test_receive_after_the_response(host: Host, client: Client) -> None:
    """S12: behind the response comes http.disconnect, and not the body that nobody read."""
    assert client.get("/events").status == 200
    client.send(request("/receives", method="POST", body=b"hello"))
    assert client.response().body == b"ok"
    eventually(lambda: event(host, "receives") == ",".join(["http.disconnect"] * 3))


def test_an_app_that_receives_for_ever(host: Host, client: Client) -> None:
    """S12: it does not keep the loop from others."""
    for _ in range(3):
        client.send(request("/spins"))
        assert client.response().body == b"ok"
    assert client.get("/events").status == 200
    client.get("/go")


# ------------------------------------------------------------- in process


class App:
    """Takes its steps: messages to send, and what else is to be done; notes what `send` raised."""

    def __init__(self, *steps: Any) -> None:
        self.steps = steps
        self.heard: list[str] = []
        self.received: list[Message] = []
        self.waits = self.done = False
        self.go = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for step in self.steps:
            if callable(step):
                await step(self, receive, send)
                continue
            try:
                await send(step)
            except Exception as error:
                self.heard.append(type(error).__name__)
        self.done = True


async def reads(app: App, receive: Receive, send: Send) -> None:
    """Receive until nothing more comes."""
    app.waits = True
    app.received.append(await receive())
    while app.received[-1].get("more_body"):
        app.received.append(await receive())


async def waits(app: App, receive: Receive, send: Send) -> None:
    """Wait for the test."""
    app.waits = True
    await app.go.wait()


async def fails(app: App, receive: Receive, send: Send) -> None:
    """Raise."""
    raise RuntimeError("nothing works")


async def takes_one_argument(scope: Scope) -> None:
    """No app: it cannot even be called."""


def answers(
    app: Any, *pieces: bytes, methods: Sequence[str] = (), **settings: Any
) -> list[Response]:
    """What comes back for these bytes and FIN."""
    with in_loop(app, **settings) as server:
        return parse_responses(server.talk(pieces), methods)


def until(server: InLoop, talk: Talk, condition: Callable[[], object]) -> None:
    """Let the loop turn until `condition` holds."""

    async def turning() -> None:
        for _ in range(PATIENCE):
            if condition():
                return
            await talk.turn()
        raise AssertionError(f"not in {PATIENCE} turns, after {bytes(talk.answer)[-200:]!r}")

    server.run(turning())


@contextmanager
def opened(app: App, **settings: Any) -> Iterator[tuple[InLoop, Talk]]:
    """A connection whose request the app has, and waits in it."""
    with in_loop(app, **settings) as server:
        talk = server.run(server.open())
        with talk.sock:
            assert server.run(talk.send(request("/")))
            until(server, talk, lambda: app.waits)
            yield server, talk


TRAILERS: Message = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]}
HINT: Message = {"type": "http.response.early_hint", "links": [b"</a>"]}
PATH: Message = {"type": "http.response.pathsend", "path": "/x"}
OK = (start(), body(b"ok"))
TEXT: Message = {"type": "http.response.body", "body": "x"}
CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    "piece", [b"ok", bytearray(b"ok"), memoryview(b"ok")], ids=["bytes", "bytearray", "memoryview"]
)
def test_a_whole_response(piece: Any) -> None:
    """S10: a body is anything that is bytes, and its length is told."""
    (answer,) = answers(App(start(), body(piece)), request("/"))
    assert (answer.status, answer.framing, answer.body) == (200, "length", b"ok")


def test_a_response_in_pieces() -> None:
    """S10, S12: pieces go out in chunks, and the loop has its turn between very many of them."""
    app = App(start(), *[body(b"x", more=True)] * 300, body(b""))
    (answer,) = answers(app, request("/"))
    assert (answer.framing, answer.body) == ("chunked", b"x" * 300)
    assert app.heard == []


def test_the_scope_of_a_request_that_comes_again() -> None:
    """S13: it is the request's own, also when the same was asked before."""
    paths: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        paths.append(scope["path"])
        scope["path"] = "/mine"
        for message in OK:
            await send(message)

    assert len(answers(app, *[request("/a")] * 5)) == 5
    assert paths == ["/a"] * 5


@pytest.mark.parametrize(
    ("steps", "heard"),
    [
        ([5, *OK], "IllegalMessage"),
        ([{}, *OK], "IllegalMessage"),
        ([{"type": "http.none"}, *OK], "IllegalMessage"),
        ([body(b"x"), *OK], "IllegalMessage"),
        ([TRAILERS, *OK], "IllegalMessage"),
        ([start(), start(), body(b"ok")], "IllegalMessage"),
        ([start(), TEXT, body(b"ok")], "IllegalMessage"),
        ([start(), PATH, body(b"ok")], "IllegalMessage"),
        ([*OK, body(b"x")], "IllegalMessage"),
        (
            [start(200, (b"content-length", b"2")), body(b"oky", more=True), PATH],
            "ClientDisconnected",
        ),
    ],
)
def test_what_may_not_be_sent(steps: list[Any], heard: str) -> None:
    """S10, A21: the app gets an error, and may go on with what may be sent."""
    app = App(*steps)
    (answer,) = answers(app, request("/"))
    assert (answer.status, answer.body) == (200, b"ok")
    assert app.heard == [heard]


def test_what_is_for_a_test_client() -> None:
    """S10: ``http.response.debug``, which tools around the app use, is dropped on its way."""
    debug = {"type": "http.response.debug", "info": {}}
    app = App(debug, start(), debug, body(b"ok"))
    (answer,) = answers(app, request("/"))
    assert (answer.status, answer.body) == (200, b"ok")
    assert app.heard == []


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_trailers(method: str) -> None:
    """S10: they follow the chunks, in as many messages as the app likes; HEAD gets none."""
    app = App(start(trailers=True), body(b"ok"), {**TRAILERS, "more_trailers": True}, TRAILERS)
    (answer,) = answers(app, request("/", method=method), methods=[method])
    expected = [(b"x-sum", b"1")] * 2 if method == "GET" else []
    assert (answer.trailers, app.heard) == (expected, [])


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_early_hints(version: bytes) -> None:
    """S10: 103 leaves before the response; HTTP/1.0 gets none."""
    app = App(HINT, *OK)
    (answer,) = answers(app, b"GET / HTTP/%b\r\nHost: h\r\n\r\n" % version)
    expected = [[(b"link", b"</a>")]] if version == b"1.1" else []
    assert [hint.fields for hint in answer.informational] == expected
    assert app.heard == []


def test_files(tmp_path: Path) -> None:
    """S10: a file is the whole body; trailers may follow it, and nothing may precede it."""
    (tmp_path / "file").write_bytes(b"content")
    path = {**PATH, "path": str(tmp_path / "file")}
    (answer,) = answers(App(start(), path), request("/"), pathsend=True)
    assert (answer.framing, answer.body) == ("length", b"content")
    app = App(start(trailers=True), path, TRAILERS)
    (answer,) = answers(app, request("/"), pathsend=True)
    assert (answer.body, answer.trailers) == (b"content", [(b"x-sum", b"1")])
    app = App(start(), body(b"o", more=True), path, body(b"k"))
    (answer,) = answers(app, request("/"), pathsend=True)
    assert (answer.body, app.heard) == (b"ok", ["IllegalMessage"])


@pytest.mark.parametrize(
    ("app", "said"),
    [
        (App(), "the app returned without a response in GET /"),
        (App(fails), "the app raised in GET /"),
        (App(start(), fails), "the app raised in GET /"),
        (takes_one_argument, "the app raised in GET /"),
    ],
)
def test_an_app_without_a_response(app: Any, said: str, caplog: pytest.LogCaptureFixture) -> None:
    """S14: it is a 500, and told in the log, once."""
    (answer,) = answers(app, request("/"))
    assert answer.status == 500
    assert [record.getMessage() for record in caplog.records] == [said]


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((), "the app returned with its response unfinished in GET /"),
        ((fails,), "the app raised in GET /"),
    ],
)
def test_an_app_in_the_middle_of_its_response(
    steps: Any, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """S14: what has begun is cut, and told in the log, once."""
    with pytest.raises(Closed):
        answers(App(start(), body(b"half", more=True), *steps), request("/"))
    assert [record.getMessage() for record in caplog.records] == [said]


def test_an_error_behind_the_response(caplog: pytest.LogCaptureFixture) -> None:
    """S14: the client has its response, and the error is in the log."""
    (answer,) = answers(App(*OK, fails), request("/"))
    assert (answer.status, answer.body) == (200, b"ok")
    assert [record.getMessage() for record in caplog.records] == ["the app raised in GET /"]


# ------------------------------------------------------------- bodies of requests


def test_bodies() -> None:
    """S12: a body comes whole or in pieces, and an empty one at once."""
    for pieces, expected in [
        ([request("/")], b""),
        ([request("/", method="POST", body=b"hello")], b"hello"),
        ([request("/", "Content-Length: 5", method="POST"), b"hel", b"lo"], b"hello"),
        ([request("/", CHUNKED, method="POST"), chunked(b"hel", b"lo")], b"hello"),
    ]:
        app = App(reads, *OK)
        (answer,) = answers(app, *pieces)
        assert answer.body == b"ok"
        assert b"".join(message["body"] for message in app.received) == expected
        assert not app.received[-1]["more_body"]


def test_a_body_that_breaks_a_rule() -> None:
    """S12, W23: the client gets a 400; the app sees the end, and what it sends is dropped."""
    app = App(reads, *OK)
    (answer,) = answers(app, request("/", CHUNKED, method="POST"), b"no size\r\n")
    assert answer.status == 400
    assert [message["type"] for message in app.received] == ["http.disconnect"]
    assert app.heard == ["ClientDisconnected"] * 2


def test_what_comes_behind_the_body() -> None:
    """S12: after it `receive` waits; behind the response comes http.disconnect."""

    async def again(app: App, receive: Receive, send: Send) -> None:
        app.received.append(await receive())

    app = App(reads, *OK, again)
    assert len(answers(app, request("/"))) == 1
    assert [message["type"] for message in app.received] == ["http.request", "http.disconnect"]


# ------------------------------------------------------------- clients that leave


def leave(server: InLoop, talk: Talk, app: App) -> None:
    """Lose the connection, and let the app go on to its end."""
    talk.transport.abort()
    until(server, talk, lambda: talk.protocol.output.closed)
    app.go.set()
    until(server, talk, lambda: app.done)


def test_the_client_leaves_before_anything_is_sent() -> None:
    """S12: a response in one piece is sent in vain; a stream is told, and so is what follows."""
    for messages, heard in [
        ([start(), body(b"ok")], []),
        ([start(), body(b"o", more=True), body(b"k")], []),
        ([start(), *[body(b"o", more=True)] * 2], ["ClientDisconnected"]),
        ([body(b"o")], ["ClientDisconnected"]),
    ]:
        app = App(waits, *messages)
        with opened(app) as (server, talk):
            leave(server, talk, app)
        assert app.heard == heard


def test_an_app_that_was_told() -> None:
    """S12: it gets an error for whatever it sends."""

    async def told(app: App, receive: Receive, send: Send) -> None:
        app.received.append(await receive())

    app = App(reads, waits, told, *OK)
    with opened(app) as (server, talk):
        leave(server, talk, app)
    assert app.received[-1] == {"type": "http.disconnect"}
    assert app.heard == ["ClientDisconnected"] * 2


def test_an_app_that_waits_is_told() -> None:
    """S12: `receive` returns when the client leaves; to return then is no error."""
    app = App(reads, reads)
    with opened(app) as (server, talk):
        leave(server, talk, app)
    assert app.received[-1] == {"type": "http.disconnect"}


def test_a_listener_is_told_first() -> None:
    """S12: while a task waits in `receive` and has not heard, what another sends is dropped."""

    async def sends_at_once(app: App, receive: Receive, send: Any) -> None:
        connection = send.__self__.connection
        listener = asyncio.ensure_future(reads(app, receive, send))
        app.waits = True
        while not connection.client_left:
            await asyncio.sleep(0)
        await send(start())
        app.received.append({"type": "dropped"})
        await listener

    app = App(reads, sends_at_once)
    with opened(app) as (server, talk):
        leave(server, talk, app)
    assert [message["type"] for message in app.received] == [
        "http.request", "dropped", "http.disconnect",
    ]  # fmt: skip


def test_a_client_that_half_closes_and_takes_nothing() -> None:
    """S12: it counts as gone; bytes may still show that it is not, an empty piece cannot."""
    app = App(waits, start(), body(b"", more=True), body(b"", more=True), body(b"ok"))
    with opened(app) as (server, talk):
        talk.sock.shutdown(socket.SHUT_WR)
        until(server, talk, lambda: talk.protocol.input.end is not None)
        talk.protocol.check_timeouts(server.state.clock() + HALF_CLOSE_GRACE + 1)
        assert talk.protocol.client_left
        app.go.set()
        until(server, talk, lambda: app.done)
        until(server, talk, lambda: talk.ended)
        (answer,) = parse_responses(bytes(talk.answer))
    assert (answer.status, answer.body) == (200, b"ok")
    assert app.heard == ["ClientDisconnected"] * 2


@pytest.mark.parametrize("more", [True, False])
def test_the_client_leaves_while_it_is_slow(more: bool) -> None:
    """S12: what was sent before it left was sent; the next piece is told."""

    async def large(app: App, receive: Receive, send: Send) -> None:
        app.waits = True
        await send(body(bytes(10_000_000), more=True))

    app = App(start(), large, body(b"x", more=True) if more else body(b"x"))
    with opened(app) as (server, talk):
        assert talk.protocol.output.paused
        leave(server, talk, app)
    assert app.heard == ["ClientDisconnected"] * more


def test_the_client_leaves_while_a_file_is_sent(tmp_path: Path) -> None:
    """S12: the file was all of the response: it was sent in vain, and nobody is told."""
    (tmp_path / "file").write_bytes(bytes(10_000_000))

    async def sends(app: App, receive: Receive, send: Send) -> None:
        app.waits = True
        await send({**PATH, "path": str(tmp_path / "file")})

    app = App(start(), sends)
    with opened(app, pathsend=True) as (server, talk):
        leave(server, talk, app)
    assert app.heard == []
