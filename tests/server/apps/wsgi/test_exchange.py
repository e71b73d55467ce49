"""The hand-over between a thread of the pool and the loop, at the moments that are hard to meet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import ClientDisconnected
from bridge.server.http1.connection import HttpProtocol
from bridge.server.state import ServerState
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.support.raw import request
from tests.support.waiting import eventually
from tests.support.websocket import served


def breaks(environ: Any, start_response: Any) -> Iterator[bytes]:
    """Half a response, whose end only the end of the connection would tell."""
    start_response("200 OK", [])
    yield b"half"
    raise RuntimeError("the other half is missing")


def test_a_look_between_a_failure_and_its_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """W38, W36: what a thread could not complete is cut, whatever the loop sees to before it."""
    call_on_loop = ServerState.call_on_loop

    def late(self: ServerState, function: Callable[..., object], *args: object) -> None:
        call_on_loop(self, self.sweep)
        call_on_loop(self, function, *args)

    monkeypatch.setattr(ServerState, "call_on_loop", late)
    with served(breaks) as server, server.connect() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            client.rest()


def test_an_error_behind_a_response_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """W39: a response that is all with the loop is the loop's; its thread touches it no more."""
    body = b"x" * 30_000_000
    cutters: list[threading.Thread] = []
    tried = threading.Event()
    cut = HttpProtocol.cut

    def noted(self: HttpProtocol) -> None:
        cutters.append(threading.current_thread())
        cut(self)

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", str(len(body) + 1))])
        try:
            yield body[:1]
            yield body
            raise ClientDisconnected("whatever the app waited for")
        finally:
            tried.set()

    monkeypatch.setattr(HttpProtocol, "cut", noted)
    with served(app) as server, server.connect() as client:
        client.send(request("/"))
        assert tried.wait(20)
        assert client.response().body == body[:1] + body
        assert cutters == []


@pytest.mark.parametrize("size", [16 * 1024 - 1, 16 * 1024, 50_000, 3_000_000])
@pytest.mark.parametrize("runner", ["thread", "greenlet", "inline"])
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


def test_a_line_of_the_log_is_made_in_its_own_context() -> None:
    """S50, W50: what logs a request sees that request's variables, whoever writes the response."""
    request_id: ContextVar[str] = ContextVar("request_id", default="none")
    seen: list[tuple[str, str]] = []
    release = threading.Event()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        request_id.set(environ["PATH_INFO"])
        if environ["PATH_INFO"] == "/first":
            assert release.wait(10)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    class Log:
        timed = False

        def __call__(self, record: Any) -> None:
            seen.append((record.head.line.path, request_id.get()))

    wrapped = WsgiToAsgi(app, threads=1)
    with served(wrapped) as server:
        server.call(lambda: server.server.state.use_access_log(Log()))
        clients = [server.connect() for _ in range(4)]
        names = ["/first", "/second", "/third", "/fourth"]
        for number, (client, name) in enumerate(zip(clients, names, strict=True)):
            client.send(request(name))
            eventually(lambda number=number: wrapped.runner.stats().queued == number)
        release.set()  # what waits has the loop write what comes before it
        for client in clients:
            assert client.response().body == b"ok"
            client.sock.close()
        eventually(lambda: len(seen) == 4)
    assert seen == [(name, name) for name in names]


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


@pytest.mark.parametrize("runner", ["thread", "greenlet"])
def test_a_file_that_is_closed_while_it_is_sent(runner: Any, tmp_path: Path) -> None:
    """W41: nothing but the app's file is sent, whatever is opened under its number meanwhile."""
    size = 30_000_000
    (tmp_path / "public").write_bytes(b"p" * size)
    (tmp_path / "secret").write_bytes(b"s" * size)
    files: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        files.append((tmp_path / "public").open("rb"))
        start_response("200 OK", [("Content-Length", str(size))])
        return environ["wsgi.file_wrapper"](files[0])

    with served(WsgiToAsgi(app, runner=runner)) as server, server.connect() as client:
        client.send(request())
        first = client.exactly(100_000)
        number = files[0].fileno()
        files[0].close()
        with open(tmp_path / "secret", "rb") as secret:
            assert secret.fileno() == number
            body = first.partition(b"\r\n\r\n")[2]
            body += client.exactly(size - len(body))
    assert body.count(b"p") == size
