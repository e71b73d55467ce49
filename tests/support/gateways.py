"""Both sides of a gateway for tests: the host that calls it, and workers whose steps tests say."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from bridge.channels.redis.connection import Refused
from bridge.channels.redis.store import Store
from bridge.gateway import protocol
from bridge.gateway.bus import Bus
from bridge.gateway.consumer_content import session_channel
from bridge.gateway.front.gateway import Gateway
from bridge.gateway.keys import GROUP
from bridge.gateway.protocol import Request
from bridge.gateway.session import Session
from bridge.types import ASGIApp, Message, Scope

#: What a worker tells of its consumer, if a test says nothing else.
TOLD = {
    "takes_channels": False,
    "response_timeout": 0,
    "connect_timeout": 0,
    "stall_timeout": 0,
    "subprotocols": ["chat"],
    "path": "/",
    "root_path": "",
    "mount": "",
}

#: The longest that a test waits for what must happen.
PATIENCE = 15


def new_prefix() -> str:
    """A prefix that no other test has."""
    return f"test-{secrets.token_hex(6)}"


async def within(work: Any, limit: float = PATIENCE) -> Any:
    """What `work` gives; `TimeoutError` if it hangs."""
    return await asyncio.wait_for(work, limit)


async def until(holds: Callable[[], object]) -> None:
    """Return when `holds()` is true."""
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.01)  # the pace of asking, nothing depends on it


class ScriptedWorker:
    """A worker that takes what it is told to."""

    def __init__(self, url: str, prefix: str) -> None:
        self.bus = Bus(url, "worker", prefix=prefix)
        #: Its channel layer.
        self.layer = Store(url, prefix=prefix)

    async def open(self) -> None:
        """Join the group of workers."""
        await self.bus.open()
        await self.layer.open()
        with contextlib.suppress(Refused):  # it is there already
            key = self.bus.keys.requests
            await self.bus.link.call("XGROUP", "CREATE", key, GROUP, "0", "MKSTREAM")

    async def read(self) -> tuple[bytes, Request]:
        """Read a request: it is pending for this worker then."""
        bus = self.bus
        async with asyncio.timeout(PATIENCE):
            while True:
                found = await bus.link.call(
                    *("XREADGROUP", "GROUP", GROUP, bus.name, "COUNT", 1),
                    *("STREAMS", bus.keys.requests, ">"),
                )
                if found:
                    entry, fields = found[0][1][0]
                    named = dict(zip(fields[::2], fields[1::2], strict=True))
                    return entry, protocol.decode_request(named[b"r"])
                await asyncio.sleep(0.01)  # the pace of asking, nothing depends on it

    async def claim(self, entry: bytes) -> bool:
        """Claim a request that was read; False: it was withdrawn."""
        return bool(await self.bus.link.call("XDEL", self.bus.keys.requests, entry))

    async def take(self) -> tuple[Request, Session]:
        """Take a request, as a worker does."""
        entry, request = await self.read()
        assert await self.claim(entry)
        self.bus.outbox.note_claim(request.gateway, request.session, entry)
        session = self.bus.accept(request)
        session.write(protocol.TAKEN, protocol.SESSION)
        return request, session

    async def answer(self, session: Session, body: bytes = b"hello", status: int = 200) -> None:
        """Send a whole response, and end."""
        await session.send(start(status))
        await session.send({"type": "http.response.body", "body": body})
        session.write(protocol.END, None)

    async def take_consumers(self, **told: Any) -> tuple[Request, Session]:
        """Take a request, hand it back as one of a consumer, and take the first message."""
        await self.hand_back(**told)
        return await self.take_message()

    async def hand_back(self, **told: Any) -> None:
        """Take a request, and hand it back as one of a consumer."""
        request, session = await self.read_and_claim()
        assert protocol.CONSUMERS in request.scope["extensions"]
        session.write(protocol.TAKEN, protocol.CONSUMER)
        place = {"path": request.scope["path"], "root_path": request.scope["root_path"]}
        session.write(protocol.EVENTS, [{"type": protocol.CONSUMERS, **TOLD, **place, **told}])
        session.write(protocol.END, None)

    async def take_called(self, **told: Any) -> tuple[str, Session]:
        """Take a request whose consumer is called at once, and tell so; with its reply channel."""
        request, session = await self.read_and_claim()
        queue = request.scope["extensions"][protocol.CONSUMERS]["replies"]
        session.write(protocol.TAKEN, protocol.CONSUMER)
        event = {"type": protocol.CONSUMERS, **TOLD, "called": True, **told}
        session.write(protocol.EVENTS, [event])
        return session_channel(queue, request.session), session

    async def take_message(self) -> tuple[Request, Session]:
        """Take a message to a consumer: its content is in the scope."""
        request, session = await self.read_and_claim()
        assert request.scope["type"] == "consumer"
        session.write(protocol.TAKEN, protocol.CONSUMER)
        return request, session

    async def read_and_claim(self) -> tuple[Request, Session]:
        """Take a request, and say nothing yet."""
        entry, request = await self.read()
        assert await self.claim(entry)
        self.bus.outbox.note_claim(request.gateway, request.session, entry)
        return request, self.bus.accept(request)

    async def die(self) -> None:
        """Be gone, as a process that is killed: Redis loses its connections, nothing is told."""
        for task in self.bus._tasks:
            task.cancel()
        await self.bus.link.close()
        await self.layer.close()


def start(status: int = 200, *headers: tuple[bytes, bytes], **more: Any) -> Message:
    """The start of a response."""
    return {"type": "http.response.start", "status": status, "headers": [*headers], **more}


def piece(body: bytes, *, more: bool = True) -> Message:
    """A piece of a request's body."""
    return {"type": "http.request", "body": body, "more_body": more}


def http_scope(method: str = "GET", path: str = "/", *headers: tuple[bytes, bytes]) -> Scope:
    """The scope of a request, as hosts make it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"example.com"), *headers],
        "client": ("127.0.0.1", 4000),
        "server": ("127.0.0.1", 80),
        "state": {"of": object()},
        "extensions": {"http.response.trailers": {}, "http.response.pathsend": {}},
    }


def socket_scope(**more: Any) -> Scope:
    """The scope of a WebSocket."""
    scope = http_scope()
    del scope["method"]
    scope |= {"type": "websocket", "scheme": "ws", "subprotocols": ["chat"]}
    return {**scope, "extensions": {"websocket.http.response": {}}, **more}


class Client:
    """One request to a gateway; `says` are the first events of its host."""

    def __init__(self, gateway: ASGIApp, scope: Scope, *says: Message) -> None:
        self._to_gateway: asyncio.Queue[Message | Exception] = asyncio.Queue()
        self._from_gateway: asyncio.Queue[Message] = asyncio.Queue()
        #: How often the gateway has asked for an event, got one, and sent one.
        self.asked = self.took = self.sent = 0
        #: Cleared while the client takes nothing.
        self.takes = asyncio.Event()
        self.takes.set()
        #: Whether `send` raises, as the client has gone.
        self.gone = False
        for event in says:
            self.say(event)
        self.task = asyncio.ensure_future(gateway(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        self.asked += 1
        event = await self._to_gateway.get()
        self.took += 1
        if isinstance(event, Exception):
            raise event
        return event

    async def _send(self, message: Message) -> None:
        self.sent += 1
        await self.takes.wait()
        if self.gone:
            raise ConnectionResetError("the client has gone")
        self._from_gateway.put_nowait(message)

    def say(self, event: Message) -> None:
        """Have the host give an event."""
        self._to_gateway.put_nowait(event)

    def fail(self, error: Exception) -> None:
        """Have the host's `receive` raise."""
        self._to_gateway.put_nowait(error)

    async def hears(self) -> Message:
        """The next message that the gateway sends."""
        message: Message = await within(self._from_gateway.get())
        return message

    async def ends(self) -> None:
        """Wait until the gateway has returned; raises what it raises."""
        await within(asyncio.shield(self.task))

    async def response(self) -> tuple[int, dict[bytes, bytes], bytes]:
        """The whole response: status, fields, body."""
        head, body = await self.hears(), b""
        kind = head["type"].replace(".start", ".body")
        while True:
            message = await self.hears()
            assert message["type"] == kind
            body += message.get("body", b"")
            if not message.get("more_body"):
                return head["status"], dict(map(tuple, head["headers"])), body


def get(gateway: Gateway, path: str = "/", method: str = "GET") -> Client:
    """Ask without a body."""
    return Client(gateway, http_scope(method, path), piece(b"", more=False))


async def queued(gateway: Gateway) -> None:
    """Return when something waits in the queue, and Redis has said so."""
    waiting = gateway.requests._waiting
    await until(lambda: waiting and all(each.entry for each in waiting.values()))


@asynccontextmanager
async def gateway_of(url: str, prefix: str, **settings: Any) -> AsyncIterator[Gateway]:
    """A gateway that is open."""
    gateway = Gateway(url, prefix=prefix, **settings)
    await gateway.open()
    try:
        yield gateway
    finally:
        await gateway.close()


@asynccontextmanager
async def worker_of(url: str, prefix: str) -> AsyncIterator[ScriptedWorker]:
    """A worker that is open; it may have died when the block is left."""
    worker = ScriptedWorker(url, prefix)
    await worker.open()
    try:
        yield worker
    finally:
        if worker.bus.link.up:
            await worker.bus.close()
            await worker.layer.close()


@asynccontextmanager
async def both(url: str, **settings: Any) -> AsyncIterator[tuple[Gateway, ScriptedWorker]]:
    """A gateway and a worker."""
    prefix = new_prefix()
    async with gateway_of(url, prefix, **settings) as gateway, worker_of(url, prefix) as worker:
        yield gateway, worker
