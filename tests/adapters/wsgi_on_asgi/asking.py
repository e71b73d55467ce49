"""One request at a `WsgiToAsgi` in process, as its ASGI host sees it."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterable
from typing import Any

from bridge.adapters.wsgi_on_asgi.exchange import Exchange
from bridge.types import Environ, Message, StartResponse, WSGIApp
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.support.in_process import http_scope

RUNNERS = ["thread", "greenlet", "inline"]


POST = {"method": "POST"}


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Client:
    """One request as its ASGI host sees it: `receive` gives `body`, `sent` is what came."""

    def __init__(
        self, body: Iterable[bytes] = (), *, leaves: bool = False, whole: bool = True, **scope: Any
    ) -> None:
        self.scope = http_scope(scope.pop("path", "/"), scope.pop("method", "GET"), **scope)
        pieces = list(body)
        self.coming: list[Message] = [
            {"type": "http.request", "body": piece, "more_body": number < len(pieces) or not whole}
            for number, piece in enumerate(pieces or [b""], 1)
        ]
        self.leaves = asyncio.Event()
        if leaves:
            self.leaves.set()
        self.sent: list[Message] = []
        self.received = 0
        self.slow: asyncio.Event | None = None
        self.fails: BaseException | None = None

    async def receive(self) -> Message:
        self.received += 1
        if self.coming:
            return self.coming.pop(0)
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self.fails is not None:
            raise self.fails
        if self.slow is not None:
            await self.slow.wait()
        self.sent.append(message)

    def ask(self, app: WsgiToAsgi) -> asyncio.Task[None]:
        return asyncio.ensure_future(app(self.scope, self.receive, self.send))

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def is_whole(self) -> bool:
        return bool(self.sent) and not self.sent[-1].get("more_body", False)


def serve(app: WSGIApp, use: Callable[[WsgiToAsgi], Any], **settings: Any) -> None:
    """Run ``use(adapter)`` on a loop, with the pool stopped after it."""

    async def run() -> None:
        adapter = WsgiToAsgi(app, **settings)
        try:
            await use(adapter)
        finally:
            assert await adapter.runner.stop(10)

    asyncio.run(run())


def ask(app: WSGIApp, body: Iterable[bytes] = (), *, runner: str = "thread", **more: Any) -> Client:
    """One request and its response."""
    settings = {
        name: more.pop(name)
        for name in (
            *("max_body_size", "spool_body", "propagate_context", "pathsend"),
            *("threads", "queue_limit"),
        )
        if name in more
    }
    clients: list[Client] = []

    async def use(adapter: WsgiToAsgi) -> None:
        clients.append(client := Client(body, **more))
        await client.ask(adapter)

    serve(app, use, runner=runner, **settings)
    return clients[0]


def begun(app: WSGIApp, client: Client, **settings: Any) -> list[Exchange]:
    """What `begin` gives to its caller, which finishes it."""
    found: list[Exchange] = []

    async def use(adapter: WsgiToAsgi) -> None:
        adapter.runner.start(asyncio.get_running_loop())
        await Client().ask(adapter)
        news = asyncio.Event()

        def note(exchange: Exchange) -> None:
            found.append(exchange)
            news.set()

        exchange = adapter.begin(client.scope, client.receive, client.send, note)
        if exchange is not None:
            await asyncio.wait_for(news.wait(), 20)
            assert found == [exchange]
            await adapter.finish(exchange)

    serve(app, use, **settings)
    return found


def hello(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def echo(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [])
    return [environ["wsgi.input"].read()]
