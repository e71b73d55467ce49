"""Context variables belong to one request, however an ASGI app is written (S13)."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import threading
from collections.abc import Awaitable, Generator
from contextvars import ContextVar
from typing import Any

import pytest

from bridge import AsgiToWsgi, Dispatcher
from bridge.dispatcher import Mount
from bridge.server.apps import handlers
from bridge.server.apps.asgi.exchange import AsgiExchange, AsgiHandler
from bridge.server.apps.calling import in_own_task, run_app
from bridge.server.exchange import Connection
from bridge.server.request import Request
from bridge.server.state import CUTTING
from bridge.types import Receive, Scope, Send
from tests.adapters.asgi_on_wsgi.direct import LIMIT, call, environ
from tests.support.in_loop import InLoop, in_loop
from tests.support.raw import request
from tests.support.serving import served
from tests.support.waiting import eventually

user: ContextVar[str] = ContextVar("user", default="nobody")


async def say(seen: str, send: Send, token: Any = None) -> None:
    """Answer with `seen`; what was set in the call can be taken back here."""
    body = seen.encode()
    fields = [(b"content-length", b"%d" % len(body)), (b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})
    if token is not None:
        user.reset(token)


def plain(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    """A plain function: it has set the variable before there is anything to await."""
    seen = user.get()
    user.set(dict(scope["headers"]).get(b"x-user", b"somebody").decode())
    return say(seen, send)


def with_token(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    """Sets in the call, and takes back in the coroutine: one context for both."""
    seen = user.get()
    return say(seen, send, user.set("somebody"))


class Middleware:
    """The usual way to write one, with a plain ``__call__``."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return self.app(scope, receive, send)  # type: ignore[no-any-return]


class Instance:
    """A class whose instances are awaitable."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen, self.send = user.get(), send
        user.set("somebody")

    def __await__(self) -> Generator[Any, None, None]:
        return say(self.seen, self.send).__await__()


def marked(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    return plain(scope, receive, send)


if sys.version_info >= (3, 12):
    inspect.markcoroutinefunction(marked)


async def proper(scope: Scope, receive: Receive, send: Send) -> None:
    await plain(scope, receive, send)


APPS: dict[str, Any] = {
    "function": plain,
    "partial": functools.partial(plain),
    "middleware": Middleware(plain),
    "method": Middleware(plain).__call__,
    "class": Instance,
    "token": with_token,
    "marked": marked,
    "coroutine function": proper,
}


@pytest.mark.parametrize("kind", APPS)
@pytest.mark.parametrize("mounted", [False, True])
def test_requests_are_apart(kind: str, mounted: bool) -> None:
    """S13: no request sees what another one has set, pipelined, kept alive, or of others."""
    app = Dispatcher({"/": APPS[kind]}) if mounted else APPS[kind]
    with served(app, interface="asgi3") as server:
        with server.connect() as first, server.connect() as second:
            first.send(request("/", "X-User: alice") * 3)
            seen = [first.response().body for _ in range(3)]
            for client in (first, second, first):
                client.send(request())
                seen.append(client.response().body)
            first.send(request(method="POST", body=b"x") + request())
            seen += [first.response().body for _ in range(2)]
    assert set(seen) == {b"nobody"}


@pytest.mark.parametrize("kind", APPS)
def test_adapter(kind: str) -> None:
    """A32: behind a WSGI host, too, each request has a context of its own."""
    adapter = AsgiToWsgi(APPS[kind], lifespan="off")
    answers = [call(adapter, environ(HTTP_X_USER="alice")) for _ in range(3)]
    assert [answer.body for answer in answers] == [b"nobody"] * 3
    assert adapter.close(LIMIT)


def test_websockets_are_apart() -> None:
    """S13: nor does a WebSocket, nor a request after one."""

    def app(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            return plain(scope, receive, send)
        seen = user.get()
        user.set("somebody")
        return talk(seen, send)

    async def talk(seen: str, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": seen})

    with served(app, interface="asgi3") as server:
        for _ in range(2):
            with server.open() as socket:
                assert socket.read_text() == "nobody"
            with server.connect() as client:
                client.send(request())
                assert client.response().body == b"nobody"


@pytest.mark.parametrize("runner", ["thread", "inline", "greenlet"])
def test_predicates(runner: Any) -> None:
    """D1: what a predicate sets is not there for other requests, of whatever kind their app is."""

    def told(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [user.get().encode()]

    seen: list[str] = []

    def predicate(_: Any) -> bool:
        seen.append(user.get())
        user.set("somebody")
        return True

    mount = Mount(told, when=predicate, settings={"runner": runner})
    with served(Dispatcher({"/": mount})) as server:
        with server.connect() as first, server.connect() as second:
            first.send(request() * 3)
            answers = [first.response().body for _ in range(3)]
            second.send(request())
            answers.append(second.response().body)
    assert set(answers) == {b"nobody"}
    assert set(seen) == {"nobody"}


def test_what_a_call_raises_or_returns(caplog: pytest.LogCaptureFixture) -> None:
    """S14: a plain function that raises, or returns nothing to await, is a 500."""

    def raises(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        raise ValueError("mine")

    def nothing(scope: Scope, receive: Receive, send: Send) -> Any:
        return None

    with served(Dispatcher({"/a": raises, "/b": nothing}), interface="asgi3") as server:
        for path in ("/a", "/b"):
            with server.connect() as client:
                client.send(request(path))
                assert client.response().status == 500
    assert "mine" in caplog.text


def test_an_app_that_cancels_itself(caplog: pytest.LogCaptureFixture) -> None:
    """S14: it is a 500, and told in the log; a task can be cancelled by anybody."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    with served(app) as server, server.connect() as client:
        assert client.get("/").status == 500
    assert "the app was cancelled" in caplog.text


def test_an_app_that_the_server_cancels(caplog: pytest.LogCaptureFixture) -> None:
    """P2: what a stop cuts is no error of the app's."""
    cancelled: list[bool] = []
    begun = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    with served(app, timeout_graceful_shutdown=0.1) as server, server.connect() as client:
        client.send(request("/"))
        assert begun.wait(20)
        server.stop()
        assert client.everything() == b""
    assert cancelled == [True]
    assert "the app" not in caplog.text


def test_coroutine_functions_are_called_as_they_are() -> None:
    """S13: what ``async def`` made needs nothing around it."""

    class App:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    app = App()
    for each in (proper, functools.partial(proper), app, app.__call__):
        assert in_own_task(each) is each
    assert in_own_task(plain) is not plain


class Later(AsgiExchange):
    """An exchange whose app is run some time after the request has come."""

    def start_app(self) -> None:
        """Run the app in the next turn of the loop."""
        loop, scope = self.connection.state.loop, {"path": self.request.path}
        loop.call_soon(lambda: run_app(self, self.handler.app(scope, self.receive, self.send)))


@pytest.mark.parametrize("path", ["/answers", "/raises", "/returns", "/waits", "/waits/raises"])
def test_an_app_that_is_run_later(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """S14: it is as if it had been run at once, whether it waits for something or not."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if "waits" in scope["path"]:
            await asyncio.sleep(0)
        if "raises" in scope["path"]:
            raise LookupError("mine")
        if scope["path"] != "/returns":
            await say("hello", send)

    class Handler(AsgiHandler):
        def open(self, connection: Connection, request: Request) -> Later:
            return Later(self, connection, request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handlers, "AsgiHandler", Handler)
        with served(app) as server, server.connect() as client:
            status = client.get(path).status
            eventually(lambda: not server.server.state.tasks)
    assert status == (500 if "raises" in path or "returns" in path else 200)
    assert ("mine" in caplog.text) == ("raises" in path)


def test_an_app_that_is_cut_after_its_response() -> None:
    """P2, O2: what the end of the server cuts is given up, unless its response is whole."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/whole":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"whole"})
        await asyncio.Event().wait()

    async def cut(server: InLoop, path: str) -> None:
        talk = await server.open()
        await talk.send(request(path))
        while not server.state.tasks:  # before Python 3.12, apps begin in the loop's next turn
            await asyncio.sleep(0)
        (task,) = server.state.tasks
        await asyncio.sleep(0)
        task.cancel()
        while server.state.tasks:
            await asyncio.sleep(0)
        talk.sock.close()

    with in_loop(app) as server:
        figures = server.count()
        server.state.enter_stop(CUTTING)
        for path, aborted in (("/whole", 0), ("/", 1)):
            server.run(cut(server, path))
            samples = figures.snapshot()["bridge_aborted_requests_total"]["samples"]
            assert samples == [[{"mount": "/"}, aborted]]
