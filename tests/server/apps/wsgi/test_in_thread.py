"""WSGI exchanges in threads: what leaves by itself, what the loop does, and when each knows it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import ClientDisconnected
from bridge.runners.threads.runner import ThreadRunner
from bridge.server.apps.wsgi import in_thread
from bridge.server.http1.connection import Http1Connection
from bridge.server.state import ServerState
from bridge.server.transport import output
from bridge.server.transport.output import Output, Piece
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.server.apps.wsgi import responses
from tests.server.apps.wsgi.responses import LARGE
from tests.support.raw import Closed, request
from tests.support.serving import served
from tests.support.waiting import eventually


def breaks(environ: Any, start_response: Any) -> Iterator[bytes]:
    """Half a response, whose end only the end of the connection would tell."""
    start_response("200 OK", [])
    yield b"half"
    raise RuntimeError("the other half is missing")


def test_a_look_between_a_failure_and_its_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """W38, W36: what a thread could not complete is cut, whatever the loop sees to before it."""
    call_on_loop = ServerState.call_on_loop

    def late(self: ServerState, function: Callable[..., object], *args: object) -> None:
        call_on_loop(self, self.check_timeouts)
        call_on_loop(self, function, *args)

    monkeypatch.setattr(ServerState, "call_on_loop", late)
    with served(breaks) as server, server.connect() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            client.rest()


def test_an_error_behind_a_response_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """W39: a response that is all with the loop is the loop's; its thread touches it no more."""
    body = b"x" * LARGE
    cutters: list[threading.Thread] = []
    tried = threading.Event()
    abort_response = Http1Connection.abort_response

    def noted(self: Http1Connection) -> None:
        cutters.append(threading.current_thread())
        abort_response(self)

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", str(len(body) + 1))])
        try:
            yield body[:1]
            yield body
            raise ClientDisconnected("whatever the app waited for")
        finally:
            tried.set()

    monkeypatch.setattr(Http1Connection, "abort_response", noted)
    with served(app) as server, server.connect() as client:
        client.send(request("/"))
        assert tried.wait(20)
        assert client.response().body == body[:1] + body
        assert cutters == []


def test_a_line_of_the_log_is_made_in_its_own_context() -> None:
    """S50, W50: what logs a request sees its variables, whichever thread writes the response."""
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
            seen.append((record.request.path, request_id.get()))

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


def test_a_file_that_is_closed_while_it_is_sent(tmp_path: Path) -> None:
    """W41: nothing but the app's file is sent, whatever is opened under its number meanwhile."""
    responses.come_from_a_file_that_is_closed("thread", tmp_path)


def test_whole_and_in_pieces() -> None:
    """W35, W39: a response leaves whole, or in pieces whose end is told by length or by chunks."""
    responses.come_whole_and_in_pieces("thread")


def test_a_slow_client() -> None:
    """W25, W39: what does not fit is left to the loop; the rest comes behind it, in order."""
    responses.come_in_order_to_a_slow_client("thread")


def test_a_fast_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """W39: a thread waits itself for a client that makes room soon; the loop writes nothing."""
    left_to_the_loop: list[Sequence[Piece]] = []
    write_late = Output.write_late

    def noted(self: Output, parts: Sequence[Piece]) -> None:
        left_to_the_loop.append(parts)
        write_late(self, parts)

    monkeypatch.setattr(Output, "write_late", noted)
    monkeypatch.setattr(in_thread, "_PATIENCE", 20_000)  # however slow the machine is
    with served(responses.pieces) as server, server.connect() as client:
        assert len(client.get().body) == responses.LARGE
    assert left_to_the_loop == []


def test_a_large_response_for_a_slow_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """W25, W39: what a thread leaves to the loop is the app's own bytes, not a copy."""
    body, left_to_the_loop = bytes(20_000_000), list[Piece]()
    write_late = Output.write_late

    def noted(self: Output, parts: Sequence[Piece]) -> None:
        left_to_the_loop.extend(parts)
        write_late(self, parts)

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    monkeypatch.setattr(Output, "write_late", noted)
    with served(WsgiToAsgi(app)) as server, server.connect() as client:
        client.send(request())
        eventually(lambda: left_to_the_loop)
        (rest,) = left_to_the_loop
        assert isinstance(rest, memoryview)
        assert rest.obj is body
        assert client.response().body == body


def test_a_fast_client_that_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """W40: a thread that waits for room hears that there is nobody to make any."""
    ended = threading.Event()

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        try:
            yield from responses.pieces(environ, start_response)
        finally:
            ended.set()

    monkeypatch.setattr(in_thread, "_PATIENCE", 600_000)
    with served(app) as server, server.connect() as client:
        client.send(request("/"))
        client.exactly(1000)
        client.reset()
        assert ended.wait(20)


def test_responses_behind_a_large_one() -> None:
    """W25, S1: what follows on a connection waits for what the loop still has to write."""

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return [bytes(LARGE)] if environ["PATH_INFO"] == "/large" else [b"small"]

    with served(app) as server, server.connect() as client:
        client.send(request("/large") + request("/") + request("/large") + request("/"))
        for size in (LARGE, 5, LARGE, 5):
            assert len(client.response().body) == size


@pytest.mark.parametrize("hears", ["write", "whole", "hints", "file"])
def test_the_client_leaves(hears: str, tmp_path: Path) -> None:
    """W40: an app hears of it when it writes next, and its thread is free."""
    heard: list[str] = []
    begun, gone = threading.Event(), threading.Event()
    (tmp_path / "file").write_bytes(b"x" * 1000)

    def app(environ: Any, start_response: Any) -> Any:
        begun.set()
        assert gone.wait(20)
        if hears == "hints":
            try:
                environ["wsgi.early_hints"]([("Link", "</a>")])
            except ClientDisconnected:
                heard.append("no hints")
        write = start_response("200 OK", [])
        if hears == "file":
            return environ["wsgi.file_wrapper"]((tmp_path / "file").open("rb"))
        if hears == "write":
            try:
                write(b"x")
            except ClientDisconnected:
                heard.append("not written")
                raise
        return [b"whole"]

    wrapped = WsgiToAsgi(app, threads=1)
    with served(wrapped) as server:
        client = server.connect()
        client.send(request("/"))
        assert begun.wait(20)
        state = server.server.state
        assert server.call(lambda: len(state.connections)) == 1
        client.reset()
        eventually(lambda: server.call(lambda: len(state.connections)) == 0)
        gone.set()
        eventually(lambda: wrapped.runner.stats()[:3:2] == (0, 0))
    assert heard == {"hints": ["no hints"], "write": ["not written"]}.get(hears, [])


def test_a_client_that_resets_after_its_response() -> None:
    """P10: a request counts that a thread has answered, however its client leaves."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    with served(app) as server:
        state = server.server.state
        client = server.connect()
        assert client.get("/").body == b"ok"
        client.reset()
        eventually(lambda: server.call(lambda: len(state.connections)) == 0)
        eventually(lambda: server.server.served == 1)


def test_a_client_that_leaves_the_queue() -> None:
    """W52: a request that waits for a thread gives its place back, and no app runs for it."""
    ran: list[str] = []
    release = threading.Event()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        ran.append(environ["PATH_INFO"])
        assert release.wait(20)
        start_response("200 OK", [])
        return [b"ok"]

    wrapped = WsgiToAsgi(app, threads=1)
    with served(wrapped) as server, server.connect() as first, server.connect() as third:
        first.send(request("/first"))
        eventually(lambda: ran == ["/first"])
        second = server.connect()
        second.send(request("/second"))
        eventually(lambda: wrapped.runner.stats().queued == 1)
        third.send(request("/third"))
        eventually(lambda: wrapped.runner.stats().queued == 2)
        second.reset()
        eventually(lambda: wrapped.runner.stats().queued == 1)
        release.set()
        assert first.response().body == third.response().body == b"ok"
    assert ran == ["/first", "/third"]


def test_the_client_of_a_response_that_waits_leaves() -> None:
    """W25, S50: a response that was left to the loop is noted, though its client is gone."""
    seen: list[tuple[str, int]] = []
    begun, release = threading.Event(), threading.Event()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        begun.set()
        assert release.wait(20)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    class Log:
        timed = False

        def __call__(self, record: Any) -> None:
            seen.append((record.request.path, record.status))

    wrapped = WsgiToAsgi(app, threads=1)
    with served(wrapped) as server, server.connect() as second:
        state = server.server.state
        server.call(lambda: state.use_access_log(Log()))
        first = server.connect()
        first.send(request("/first"))
        assert begun.wait(20)
        second.send(request("/second"))
        eventually(lambda: wrapped.runner.stats().queued == 1)
        first.reset()
        eventually(lambda: server.call(lambda: len(state.connections)) == 1)
        release.set()
        assert second.response().body == b"ok"
        eventually(lambda: len(seen) == 2)
    assert seen == [("/first", 200), ("/second", 200)]


def test_a_thread_logs_what_it_has_written() -> None:
    """S50: the line of a request is made in its thread, when the response has been written."""
    seen: list[tuple[int, int, bool]] = []
    threads: list[int] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        threads.append(threading.get_ident())
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    class Log:
        timed = False

        def __call__(self, record: Any) -> None:
            seen.append((record.status, record.sent, threading.get_ident() in threads))

    with served(app) as server, server.connect() as client:
        server.call(lambda: server.server.state.use_access_log(Log()))
        assert client.get("/").body == b"ok"
        eventually(lambda: seen)
    assert seen == [(200, 2, True)]


@pytest.fixture
def never_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the next request begun whatever waits, as if it were just less than may wait."""
    monkeypatch.setattr(output, "HIGH_WATER", 1 << 30)


@pytest.mark.usefixtures("never_paused")
@pytest.mark.parametrize("way", ["whole", "pieces"])
def test_responses_behind_what_waits_hold_no_thread(way: str) -> None:
    """W25, S1: the end of a response behind one that waits is left to the loop at once."""

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        body = environ["PATH_INFO"][1:].encode() + bytes(LARGE)
        return [body] if way == "whole" else iter([body])

    runner = ThreadRunner(threads=1, queue_limit=0)
    with served(WsgiToAsgi(app, runner=runner)) as server, server.connect() as client:
        client.send(request("/1") + request("/2") + request("/3"))
        eventually(lambda: runner.stats().served == 3 and runner.stats().idle)
        bodies = [client.response().body for _ in range(3)]
    assert [body.rstrip(b"\0") for body in bodies] == [b"1", b"2", b"3"]


def test_a_stop_while_a_thread_waits_for_its_client(caplog: pytest.LogCaptureFixture) -> None:
    """P2: a stream that is cut since the server stops is no error of the app."""
    ended = threading.Event()

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            while True:
                yield bytes(100_000)
        finally:
            ended.set()

    runner = ThreadRunner(threads=1)
    with served(WsgiToAsgi(app, runner=runner)) as server, server.connect() as client:
        client.send(request("/"))
        eventually(lambda: runner._waits)
        for waiting in tuple(runner._waits):
            waiting.cancel()  # as at the end of a stop
        assert ended.wait(20)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.usefixtures("never_paused")
def test_a_request_that_is_refused_behind_a_large_response() -> None:
    """W52, S1: the refusal, which is made on the loop, comes behind what the client has to take."""
    begun, release = threading.Event(), threading.Event()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        if environ["PATH_INFO"] == "/large":
            return [bytes(LARGE)]
        begun.set()
        assert release.wait(20)
        return [b"ok"]

    runner = ThreadRunner(threads=1, queue_limit=0)
    with (
        served(WsgiToAsgi(app, runner=runner)) as server,
        server.connect() as client,
        server.connect() as other,
    ):
        client.send(request("/large"))
        eventually(lambda: runner.stats().idle)
        other.send(request("/"))
        assert begun.wait(20)
        client.send(request("/refused"))
        eventually(lambda: runner.stats().rejected)
        assert len(client.response().body) == LARGE
        assert client.response().status == 503
        release.set()
        assert other.response().body == b"ok"


def test_a_full_queue() -> None:
    """W52: beyond threads and queue a request is refused with 503."""
    begun, release = threading.Event(), threading.Event()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        begun.set()
        assert release.wait(20)
        start_response("200 OK", [])
        return [b"ok"]

    wrapped = WsgiToAsgi(app, threads=1, queue_limit=1)
    with served(wrapped) as server:
        clients = [server.connect() for _ in range(3)]
        clients[0].send(request("/"))
        assert begun.wait(20)
        clients[1].send(request("/"))
        eventually(lambda: wrapped.runner.stats().queued == 1)
        response = clients[2].get("/")
        assert (response.status, response.value(b"retry-after")) == (503, b"1")
        release.set()
        assert [client.response().body for client in clients[:2]] == [b"ok", b"ok"]
        for client in clients:
            client.sock.close()


@pytest.mark.parametrize("where", ["before", "between"])
def test_errors_of_the_app(where: str) -> None:
    """W38: an error is a 500 if nothing has left yet, else a visible break."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        if where == "between":
            yield b"half"
        raise RuntimeError("nothing works")

    with served(app) as server, server.connect() as client:
        client.send(request("/"))
        if where == "before":
            assert client.response().status == 500
        else:
            with pytest.raises((Closed, ConnectionResetError)):
                client.response()


def test_early_hints() -> None:
    """W42: hints leave at once, and not behind the head, nor behind the response."""
    responses.come_behind_their_hints("thread")


@pytest.mark.parametrize("first", [b"", b"before ", b"before " * 2_000_000])
@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("patience", [0, 20_000])
def test_files(
    first: bytes, length: bool, patience: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W41: a file goes from its position on, by the system or in chunks, behind what was sent.

    A client that makes no room in time for what comes before it is left to the loop.
    """
    monkeypatch.setattr(in_thread, "_PATIENCE", patience)
    responses.come_from_files("thread", tmp_path, first, length=length)


def test_a_body_that_is_not_read() -> None:
    """W26: what the app leaves unread is taken out of the way before the next request."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    message = request("/", method="POST", body=b"x" * 100_000)
    with served(WsgiToAsgi(app, spool_body=None)) as server, server.connect() as client:
        client.send(message[:90_000])
        for _ in range(3):
            assert client.response().body == b"ok"
            client.send(message[90_000:] + message[:90_000])
        assert client.response().body == b"ok"


def test_the_last_of_so_many_requests() -> None:
    """S2: with a limit of requests, a worker counts what threads answer, and goes on meanwhile."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    with served(app, limit_requests=1) as server, server.connect() as client:
        for _ in range(3):
            assert client.get("/").body == b"ok"
