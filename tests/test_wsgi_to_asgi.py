"""`WsgiToAsgi` as a host sees it: lifespan, loops, other scopes, WebSockets, figures.

The way of an HTTP request is tested in adapters/wsgi_on_asgi, and what a client sees over the wire
in contract/wsgi.
"""

from __future__ import annotations

import asyncio
import threading

import pytest

import bridge
from bridge.adapters.wsgi_on_asgi.websocket import CLOSED, OPEN, RejectionSink
from bridge.errors import ConfigError, UnsupportedScope
from bridge.types import Environ, Message, StartResponse
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.adapters.wsgi_on_asgi.asking import (
    RUNNERS,
    Client,
    ask,
    hello,
    serve,
)
from tests.runners.jobs import until
from tests.support.in_process import websocket_scope


@pytest.mark.parametrize("runner", RUNNERS)
def test_loops_one_after_the_other(runner: str) -> None:
    """W54: one adapter serves loop after loop, without lifespan (a test client's way)."""
    adapter = WsgiToAsgi(hello, runner=runner, idle_timeout=0.05)

    async def use() -> None:
        client = Client()
        await client.ask(adapter)
        assert client.body == b"hello"

    asyncio.run(use())
    asyncio.run(use())
    assert asyncio.run(adapter.runner.stop(10))


@pytest.mark.parametrize("runner", RUNNERS)
def test_stats_for_the_app(runner: str) -> None:
    """W52: an app reads its pool's figures from its environ."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [str(environ["bridge.stats"]().served).encode()]

    assert ask(app, runner=runner).body == b"0"


def test_app_that_calls_itself() -> None:
    """W53: through its own adapter, with no thread left, an app gets an error that says so."""
    adapters: list[WsgiToAsgi] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        inner = Client(path="/inner")
        bridge.await_(adapters[0](inner.scope, inner.receive, inner.send))
        start_response("200 OK", [])
        return [b"%d " % inner.status, inner.body]

    async def use(adapter: WsgiToAsgi) -> None:
        adapters.append(adapter)
        client = Client()
        await client.ask(adapter)
        assert client.body.startswith(b"503 ")
        assert b"request to itself" in client.body

    serve(app, use, threads=1)


@pytest.mark.parametrize("runner", RUNNERS)
def test_lifespan(runner: str) -> None:
    """W54: lifespan is answered; the pool ends with it."""
    sent: list[str] = []

    async def use() -> None:
        steps: asyncio.Queue[Message] = asyncio.Queue()

        async def send(message: Message) -> None:
            sent.append(message["type"])

        adapter = WsgiToAsgi(hello, runner=runner)
        task = asyncio.ensure_future(adapter({"type": "lifespan"}, steps.get, send))
        steps.put_nowait({"type": "lifespan.startup"})
        await until(lambda: len(sent) == 1)
        client = Client()
        await client.ask(adapter)
        steps.put_nowait({"type": "lifespan.shutdown"})
        await task
        assert adapter.stats()[:3] == (0, 0, 0)

    asyncio.run(use())
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_unknown_scope() -> None:
    """W55: a scope that a WSGI app cannot take is a clear error."""

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        with pytest.raises(UnsupportedScope, match="'telnet'"):
            await adapter({"type": "telnet"}, client.receive, client.send)

    serve(hello, use)


def test_environ_of_a_websocket() -> None:
    """W60: nothing in it is empty, and nothing is there that only HTTP requests have."""
    environs: list[Environ] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environs.append(environ)
        return hello(environ, start_response)

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        client.coming = [{"type": "websocket.connect"}]
        await adapter(websocket_scope("/"), client.receive, client.send)

    serve(app, use, websocket=True)
    assert None not in environs[0].values()
    assert "bridge.disconnected" not in environs[0]


def test_error_of_a_websocket_app(caplog: pytest.LogCaptureFixture) -> None:
    """W38, W60: a WebSocket app's exception is raised on, after the refusal or the end."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        raise ValueError("mine")

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        client.coming = [{"type": "websocket.connect"}]
        with pytest.raises(ValueError, match="mine"):
            await adapter(websocket_scope("/"), client.receive, client.send)
        assert client.sent[0]["type"] == "websocket.close"

    serve(app, use, websocket=True)
    assert not caplog.records


def taken(refusal: RejectionSink) -> Exception | None:
    return None if refusal.failure is None else refusal.failure.take()


@pytest.mark.parametrize(
    ("error", "closed", "told"),
    [
        (ConnectionError(), False, False),  # the connection was taken over: python-engineio
        (BrokenPipeError(), True, False),  # the client has left
        (ConnectionRefusedError("no database"), False, True),
        (ValueError(), True, True),
    ],
)
def test_how_an_app_says_that_it_took_the_connection_over(
    error: Exception, closed: bool, told: bool
) -> None:
    """W60: by a ConnectionError, which is no error of it while it has the WebSocket."""
    refusal = RejectionSink()
    assert refusal.failed(error)
    assert taken(refusal) is error  # it has none
    refusal.phase = CLOSED if closed else OPEN
    assert refusal.failed(error)
    assert (taken(refusal) is error, refusal.taken_over) == (told, not told)


def test_no_thread_for_a_websocket(monkeypatch: pytest.MonkeyPatch) -> None:
    """W60: while no thread can be started a WebSocket is refused; the next one is served."""
    served: list[Environ] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        served.append(environ)
        return hello(environ, start_response)

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def use(adapter: WsgiToAsgi) -> None:
        for extensions, answer in (({}, "close"), ({"websocket.http.response": {}}, "http")):
            client = Client()
            client.coming = [{"type": "websocket.connect"}]
            scope = websocket_scope("/") | {"extensions": extensions}
            with monkeypatch.context() as patch:
                patch.setattr(threading.Thread, "start", fail)
                await adapter(scope, client.receive, client.send)
            assert answer in client.sent[0]["type"]
            assert client.sent[0].get("status", 503) == 503
        assert served == []
        client.coming = [{"type": "websocket.connect"}]
        await adapter(websocket_scope("/"), client.receive, client.send)
        assert len(served) == 1

    serve(app, use, websocket=True)


def test_wrong_settings() -> None:
    """W52: a wrong setting is refused when the adapter is made."""
    with pytest.raises(ConfigError, match="callable"):
        WsgiToAsgi("app")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="runner"):
        WsgiToAsgi(hello, runner="fibre")
