"""`WsgiToAsgi` as a host sees it: lifespan, loops, other scopes, WebSockets, figures.

The way of an HTTP request is tested in adapters/wsgi_on_asgi, and what a client sees over the wire
in contract/wsgi.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import bridge
from bridge.arguments.checks import WSGI_DEFAULTS
from bridge.errors import (
    AppLoadError,
    ConfigError,
    NotOnAsyncio,
    Overloaded,
    UnsupportedScope,
)
from bridge.runners.inline import InlineRunner
from bridge.types import Environ, Message, StartResponse
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.adapters.wsgi_on_asgi.asking import (
    RUNNERS,
    Client,
    ask,
    begun,
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


class Lifespan(Client):
    """A host's side of a lifespan: it starts, says something new, and shuts down."""

    def __init__(self) -> None:
        super().__init__()
        self.scope = {"type": "lifespan"}
        steps = ("startup", "news", "shutdown")
        self.coming = [{"type": f"lifespan.{step}"} for step in steps]


def test_a_runner_that_cannot_stop() -> None:
    """W54: the host is told why, and of messages that are not known nobody hears."""

    class Stuck(InlineRunner):
        async def stop(self, timeout: float | None = None) -> bool:
            if timeout is not None and not stuck.is_set():
                stuck.set()
                raise Overloaded("a thread hangs")
            return True

    stuck = threading.Event()

    async def use(adapter: WsgiToAsgi) -> None:
        lifespan = Lifespan()
        await lifespan.ask(adapter)
        assert lifespan.sent == [
            {"type": "lifespan.startup.complete"},
            {"type": "lifespan.shutdown.failed", "message": "a thread hangs"},
        ]

    serve(hello, use, runner=Stuck())


class Unstartable(InlineRunner):
    """A runner that cannot run under the loop of its host."""

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        raise AppLoadError("threads are greenlets")


def test_a_runner_that_cannot_start() -> None:
    """W52: the start fails; a host without lifespan hears of it with each request."""

    async def use(adapter: WsgiToAsgi) -> None:
        lifespan = Lifespan()
        await lifespan.ask(adapter)
        assert lifespan.sent == [
            {"type": "lifespan.startup.failed", "message": "threads are greenlets"}
        ]
        with pytest.raises(AppLoadError, match="greenlets"):
            await Client().ask(adapter)

    serve(hello, use, runner=Unstartable())


def by_hand(adapter: WsgiToAsgi, client: Client) -> None:
    """Call the adapter as a host does that runs no asyncio."""
    with pytest.raises(StopIteration):
        adapter(client.scope, client.receive, client.send).send(None)  # type: ignore[attr-defined]


def test_a_host_without_asyncio() -> None:
    """W54: is told so, at the start if it has one."""
    adapter, lifespan = WsgiToAsgi(hello), Lifespan()
    by_hand(adapter, lifespan)
    (failed,) = lifespan.sent
    assert failed["type"] == "lifespan.startup.failed"
    assert "asyncio" in failed["message"]
    with pytest.raises(NotOnAsyncio):
        by_hand(adapter, Client())


@pytest.mark.parametrize("adopted", [False, True])
def test_a_websocket_that_no_app_takes(adopted: bool, caplog: pytest.LogCaptureFixture) -> None:
    """W60: is refused, and the log says what would give it to the app."""

    async def use(adapter: WsgiToAsgi) -> None:
        if adopted:
            adapter.adopt(WSGI_DEFAULTS)
        for begin in ("connect", "disconnect"):
            client = Client()
            client.scope = websocket_scope("/chat")
            client.coming = [{"type": f"websocket.{begin}"}]
            await client.ask(adapter)
            refusal = [{"type": "websocket.close", "code": 1000}]
            assert client.sent == (refusal if begin == "connect" else [])

    serve(hello, use)
    assert "refused a WebSocket at '/chat'" in caplog.text
    assert "WsgiToAsgi(app, websocket=True)" in caplog.text
    assert ("--websocket" in caplog.text) is adopted


def test_a_server_says_how_the_app_runs() -> None:
    """S60: what was said in Python stays; a second server finds the app as it runs."""
    adapter = WsgiToAsgi(hello, threads=3)
    values = {**WSGI_DEFAULTS, "queue_limit": 7, "strict": True}
    assert adapter.adopt(values) == {"threads": 3}
    runner: Any = adapter.runner
    assert (runner.threads, runner.queue_limit, adapter.leniency.strict) == (3, 7, True)
    assert adapter.adopt(values) == {"threads": 3}
    assert adapter.runner is runner
    assert adapter.adopt({**values, "threads": 3}) == {}


@pytest.mark.parametrize("said", [None, True, False])
def test_a_server_says_whether_it_has_other_processes(said: bool | None) -> None:
    """W9: unless it was said in Python."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [str(environ["wsgi.multiprocess"]).encode()]

    async def use(adapter: WsgiToAsgi) -> None:
        adapter.adopt(WSGI_DEFAULTS)
        for several in (False, True):
            adapter.adopt_processes(several=several)
            client = Client()
            await client.ask(adapter)
            assert client.body == str(several if said is None else said).encode()

    serve(app, use, multiprocess=said)


def test_repr() -> None:
    """It shows the app."""
    assert repr(WsgiToAsgi(hello)) == f"<WsgiToAsgi {hello!r}>"


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


def test_hosts_of_ours_begin_without_a_task() -> None:
    """W30: once the app is served on this loop; before, it is called as usual."""

    async def early(adapter: WsgiToAsgi) -> None:
        client = Client()
        assert adapter.begin(client.scope, client.receive, client.send, print) is None

    serve(hello, early)
    assert len(begun(hello, client := Client())) == 1
    assert client.body == b"hello"
