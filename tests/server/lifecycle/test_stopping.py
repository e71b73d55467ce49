"""The steps of a stop, in one process: what is waited for, what is cut, and what is said (P2)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from bridge import Dispatcher, WsgiToAsgi
from bridge.server import Config, Server
from bridge.server.lifecycle import stopping
from bridge.server.lifecycle.stopping import unless
from bridge.server.state import LATE
from tests.support.raw import request
from tests.support.websocket import KEY

UPGRADE = (
    "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    f"Sec-WebSocket-Key: {KEY}",
)  # fmt: skip

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


# ------------------------------------------------------------- work that may be given up


async def finished() -> None:
    await asyncio.sleep(0)


def run(test: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        await test(asyncio.Event())
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_work_is_done_unless_told() -> None:
    """P2: work that ends is done, and raises what it raises."""

    async def wrong() -> None:
        raise LookupError

    async def test(told: asyncio.Event) -> None:
        assert await unless(told, finished())
        with pytest.raises(LookupError):
            await unless(told, wrong())

    run(test)


@pytest.mark.parametrize("way", ["told", "told before", "timeout", "cancelled"])
def test_work_is_given_up(way: str) -> None:
    """P2: it begins all the same, and cleans up, if its time is over or it is given up."""
    seen: list[str] = []

    async def work() -> None:
        seen.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            seen.append("cleaned up")

    async def test(told: asyncio.Event) -> None:
        if way == "told before":
            told.set()
        timeout = 0.01 if way == "timeout" else None
        task = asyncio.ensure_future(unless(told, work(), timeout=timeout))
        await asyncio.sleep(0)
        if way == "told":
            told.set()
        elif way == "cancelled":
            task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() if way == "cancelled" else task.result() is False
        assert seen == ["begun", "cleaned up"]

    run(test)


# ------------------------------------------------------------- a server that stops


class App:
    """An app of which a test says what it does; `begun` is set when it is asked for something."""

    def __init__(self, work: Callable[[App, Any], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.seen: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.receive = receive
        self.begun.set()
        try:
            await self._work(self, send)
        except asyncio.CancelledError:
            self.seen.append("cancelled")
            raise
        finally:
            self.seen.append("ended")


async def answer(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"done"})


async def waits(app: App, send: Any) -> None:
    await app.go_on.wait()
    await answer(send)


async def works_after_its_answer(app: App, send: Any) -> None:
    await answer(send)
    await app.go_on.wait()


@asynccontextmanager
async def serving(app: Any, **settings: Any) -> AsyncIterator[Server]:
    """A server that listens; a test stops it."""
    server = Server(Config(app=app, port=0, lifespan="off", access_log=False, **settings))
    await server.start()
    yield server
    assert not server.state.connections
    assert not server.state.tasks
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def connect(server: Server, *sent: bytes) -> Streams:
    host, port = server.addresses[0]
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"".join(sent))
    return reader, writer


def said(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bridge.error")


def test_idle_connections_are_closed(caplog: pytest.LogCaptureFixture) -> None:
    """P2: at once, and nothing is said of them."""

    async def main() -> None:
        app = App(waits)
        async with serving(app) as server:
            reader, writer = await connect(server)
            while not server.state.connections:
                await asyncio.sleep(0)
            await server.stop()
            assert await reader.read() == b""
            writer.close()

    asyncio.run(main())
    assert said(caplog).endswith("stopped")
    assert "busy" not in said(caplog)


def test_what_is_in_flight_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    """P2: with Connection: close; what is waited for is said once."""

    async def main() -> None:
        app = App(waits)
        async with serving(app) as server:
            reader, writer = await connect(server, request("/"))
            await app.begun.wait()
            ending = asyncio.ensure_future(server.stop(20))
            while "busy" not in said(caplog):
                await asyncio.sleep(0.001)
            app.go_on.set()
            answer = await reader.read()
            assert b"connection: close" in answer
            assert b"done" in answer
            writer.close()
            await ending

    asyncio.run(main())
    assert said(caplog).count("stopping: 1 request is still busy (at most 20 s; CTRL+C again") == 1
    assert "cut" not in said(caplog).replace("cuts", "")


@pytest.mark.parametrize("more", [b"", request("/again")], ids=["alone", "pipelined"])
def test_a_response_that_said_keep_alive(more: bytes) -> None:
    """P2: its connection ends with it too, or with the request that was pipelined behind it."""

    async def begins(app: App, send: Any) -> None:
        if app.go_on.is_set():
            await answer(send)
            return
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"so", "more_body": True})
        await app.go_on.wait()
        await send({"type": "http.response.body", "body": b"far"})

    async def main() -> None:
        app = App(begins)
        async with serving(app) as server:
            reader, writer = await connect(server, request("/"), more)
            seen = await reader.readuntil(b"so\r\n")
            assert b"connection: close" not in seen
            ending = asyncio.ensure_future(server.stop(20))
            while server.addresses or not server.state.stop_phase:
                await asyncio.sleep(0)
            await asyncio.sleep(2 * stopping.ARRIVAL_GRACE)  # it has been told by now, or soon
            app.go_on.set()
            rest = await reader.read()
            assert (b"connection: close" in rest, b"done" in rest) == (bool(more), bool(more))
            writer.close()
            await ending

    asyncio.run(main())


def test_a_rest_of_a_body_is_not_waited_for() -> None:
    """P2: a connection on which nothing but an unread body is to come is closed."""

    async def main() -> None:
        app = App(works_after_its_answer)
        app.go_on.set()
        async with serving(app) as server:
            head = request("/", "Content-Length: 30000", method="POST")
            reader, writer = await connect(server, head)
            await reader.readuntil(b"done")
            await server.stop(20)
            assert await reader.read() == b""
            writer.close()

    asyncio.run(main())


def test_half_a_head_has_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """P2: a client that has sent half a request head holds the stop for `HEAD_GRACE` at most."""
    monkeypatch.setattr(stopping, "HEAD_GRACE", 0.1)

    async def main() -> None:
        app = App(waits)
        async with serving(app) as server:
            reader, writer = await connect(server, b"GET / HTTP/1.1\r\nHo")
            while not server.state.connections:
                await asyncio.sleep(0)
            await server.stop(20)
            assert server.state.stop_phase >= LATE
            assert await reader.read() == b""
            writer.close()

    asyncio.run(main())


# ------------------------------------------------------------- cutting


@pytest.mark.parametrize("impatient", [False, True])
def test_a_request_is_cut(impatient: bool, caplog: pytest.LogCaptureFixture) -> None:
    """P2: after the grace, or at an order to cut: its app is cancelled, and has ended."""

    async def main() -> None:
        app = App(waits)
        async with serving(app) as server:
            reader, writer = await connect(server, request("/"))
            await app.begun.wait()
            ending = asyncio.ensure_future(server.stop(20 if impatient else 0.05))
            if impatient:
                await asyncio.sleep(0)
                server.orders.cut.set()
            await ending
            assert app.seen == ["cancelled", "ended"]
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()

    asyncio.run(main())
    assert "cut 1 request that was still busy" in said(caplog)


def test_work_after_a_response(caplog: pytest.LogCaptureFixture) -> None:
    """P2: it is waited for, under its own name, and cut at the end."""

    async def main(grace: float) -> None:
        app = App(works_after_its_answer)
        async with serving(app) as server:
            reader, writer = await connect(server, request("/"))
            await reader.readuntil(b"done")
            ending = asyncio.ensure_future(server.stop(grace))
            if grace > 1:
                while "busy" not in said(caplog):
                    await asyncio.sleep(0.001)
                app.go_on.set()
            await ending
            assert app.seen[-1] == "ended"
            writer.close()

    asyncio.run(main(20))
    assert "stopping: 1 background task is still busy" in said(caplog)
    assert "cut 1" not in said(caplog)
    asyncio.run(main(0.05))
    assert "cut 1 background task that was still busy" in said(caplog)


def test_a_task_that_cannot_be_cancelled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """P2: it is left behind after a moment, with an error in the log."""
    monkeypatch.setattr(stopping, "CANCEL_GRACE", 0.05)
    go_on = asyncio.Event()

    async def stubborn(app: App, send: Any) -> None:
        await answer(send)
        while not go_on.is_set():
            try:
                await go_on.wait()
            except asyncio.CancelledError:
                continue

    async def main() -> None:
        app = App(stubborn)
        async with serving(app) as server:
            reader, writer = await connect(server, request("/"))
            await reader.readuntil(b"done")
            await server.stop(0.05)
            assert app.seen == []
            go_on.set()
            await asyncio.wait(server.state.tasks)
            writer.close()

    asyncio.run(main())
    assert "1 task went on after being cancelled: left behind" in said(caplog)


# ------------------------------------------------------------- WSGI


class Iterable:
    """A body that is closed only when it may be."""

    def __init__(self, may_close: threading.Event) -> None:
        self._may_close = may_close
        self._parts = iter([b"done"])

    def __iter__(self) -> Iterable:
        return self

    def __next__(self) -> bytes:
        return next(self._parts)

    def close(self) -> None:
        self._may_close.wait(20)


@pytest.mark.parametrize("grace", [20, 0.05], ids=["waited for", "cut"])
def test_a_call_that_has_answered(grace: float, caplog: pytest.LogCaptureFixture) -> None:
    """P2: a WSGI app that still runs, and has no client any more, is waited for all the same."""
    may_close = threading.Event()

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", "4"), ("Connection", "close")])
        return Iterable(may_close)

    async def main() -> None:
        async with serving(WsgiToAsgi(app)) as server:
            reader, writer = await connect(server, request("/", "Connection: close"))
            assert (await reader.read()).endswith(b"done")
            writer.close()
            while server.state.connections:
                await asyncio.sleep(0.001)
            ending = asyncio.ensure_future(server.stop(grace))
            if grace > 1:
                while "busy" not in said(caplog):
                    await asyncio.sleep(0.001)
                may_close.set()
            await ending
            may_close.set()

    asyncio.run(main())
    assert ("cut 1 call of a WSGI app that was still busy" in said(caplog)) == (grace < 1)
    if grace > 1:
        assert "stopping: 1 call of a WSGI app is still busy" in said(caplog)


def test_several_kinds_are_named(caplog: pytest.LogCaptureFixture) -> None:
    """P2: each of what is in flight is counted by its name: requests of both kinds, WebSockets."""

    async def websocket(app: App, send: Any) -> None:
        await app.receive()
        await send({"type": "websocket.accept"})
        await app.go_on.wait()

    go_on = threading.Event()

    def calls(environ: Any, start_response: Any) -> Any:
        go_on.wait(20)
        start_response("200 OK", [])
        return [b"done"]

    async def main() -> None:
        http, sockets = App(waits), App(websocket)
        mounted = Dispatcher({"/http": http, "/ws": sockets, "/wsgi": WsgiToAsgi(calls)})
        async with serving(mounted) as server:
            clients = [
                await connect(server, request("/http")),
                await connect(server, request("/ws", *UPGRADE)),
                await connect(server, request("/wsgi")),
                await connect(server),
            ]
            await http.begun.wait()
            await clients[1][0].readuntil(b"\r\n\r\n")
            (runner,) = (each.stats for _, each in stopping.runners_of(server.app))
            while not runner().busy or len(server.state.connections) < 4:
                await asyncio.sleep(0.001)
            ending = asyncio.ensure_future(server.stop(20))
            while "busy" not in said(caplog):
                await asyncio.sleep(0.001)
            for event in (http.go_on, sockets.go_on, go_on):
                event.set()
            for _, writer in clients:
                writer.close()
            await ending

    asyncio.run(main())
    assert "stopping: 2 requests and 1 WebSocket are still busy (at most 20 s" in said(caplog)


# ------------------------------------------------------------- what comes while it stops


def test_a_websocket_that_opens_meanwhile() -> None:
    """P2: one that is accepted while the server stops is told 1012, too."""

    async def accepts_late(app: App, send: Any) -> None:
        await app.receive()
        await app.go_on.wait()
        await send({"type": "websocket.accept"})
        app.seen.append((await app.receive())["type"])

    async def main() -> None:
        app = App(accepts_late)
        async with serving(app) as server:
            reader, writer = await connect(server, request("/", *UPGRADE))
            await app.begun.wait()
            ending = asyncio.ensure_future(server.stop(20))
            await asyncio.sleep(2 * stopping.ARRIVAL_GRACE)
            app.go_on.set()
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(4) == b"\x88\x02" + (1012).to_bytes(2)
            writer.close()
            await ending
            assert app.seen == ["websocket.disconnect", "ended"]

    asyncio.run(main())


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01"], ids=["nothing", "begun"])
def test_a_handshake_that_does_not_end(
    sent: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P2, S31: one that has begun is waited for a moment, none longer, and none gets through."""
    monkeypatch.setattr(stopping, "HEAD_GRACE", 0.1)
    certificate = str(tmp_path / "cert.pem")
    leaf = trustme.CA().issue_cert("127.0.0.1")
    leaf.private_key_and_cert_chain_pem.write_to_path(certificate)

    async def main() -> None:
        async with serving(App(waits), ssl_certfile=certificate) as server:
            reader, writer = await connect(server, sent)
            handshakes = server.state.handshakes
            while [*handshakes.values()] != [bool(sent)]:
                await asyncio.sleep(0.001)
            await server.stop(20)
            assert not handshakes
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()

    asyncio.run(main())
