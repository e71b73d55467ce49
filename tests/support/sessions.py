"""Both ends of a session of gateway and worker in one process, without Redis between them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from bridge.gateway import protocol
from bridge.gateway.back.http_session import HttpSession
from bridge.gateway.endings import Endings
from bridge.gateway.protocol import Frame, FrameParts, Request
from bridge.gateway.session import Session
from bridge.types import ASGIApp, Message, Scope

GATEWAY, WORKER = "g.1", "w.1"


class Ends:
    """One session: what an end writes is encoded, and delivered to the other in the next turn."""

    def __init__(self, scope: Scope, events: list[Message]) -> None:
        self.gateway = Session(self, GATEWAY, 0, WORKER)
        self.gateway.pay_first(events)
        #: The request, as the worker reads it.
        self.request = protocol.decode_request(
            protocol.encode_request(Request(GATEWAY, 0, scope, events))
        )
        self.worker = Session(self, GATEWAY, 0, GATEWAY)
        self.worker.take_first(self.request.events)
        self._turn = 0
        self.endings = Endings()
        #: The frames that the worker has written, as kind and payload.
        self.written: list[tuple[int, Any]] = []

    def accept(self, request: Request) -> Session:
        """The worker's end."""
        return self.worker

    @property
    def turn(self) -> int:
        """Another number each time: what is posted leaves at once."""
        self._turn += 1
        return self._turn

    def post(self, peer: str, parts: FrameParts) -> None:
        """Deliver a frame to the other end, as it looks after Redis."""
        frame = Frame(*parts)
        packet = protocol.decode_packet(protocol.encode_packet("sender", [frame]))
        to = self.worker if peer == WORKER else self.gateway
        if peer == GATEWAY:
            self.written.append((frame.kind, frame.payload))
        asyncio.get_running_loop().call_soon(to.deliver, packet.frames[0])

    def forget(self, session: Session) -> None:
        """Nobody keeps them."""

    async def answer(self) -> list[Message]:
        """All that the app sends, to the end of the session."""
        events = []
        while (event := await self.gateway.read()) is not None:
            events.append(event)
        return events

    @property
    def ended_with(self) -> Any:
        """What the gateway is told of the app's end."""
        assert self.gateway.over is not None
        assert self.gateway.over.how == protocol.END
        return self.gateway.over.text


START: Message = {"type": "http.response.start", "status": 200, "headers": [(b"x", b"1")]}
END_OF_BODY: Message = {"type": "http.response.body", "body": b"", "more_body": False}


def body(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def upload(data: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


class HttpRun:
    """An app that runs for one request; `task` is its own."""

    def __init__(
        self,
        app: ASGIApp,
        events: list[Message] | None = None,
        *,
        told: bool = True,
        **scope: Any,
    ) -> None:
        about: Scope = {"type": "http", "method": "GET", "path": "/a", "headers": [], **scope}
        self.ends = Ends(about, [upload()] if events is None else events)
        self.session = HttpSession(self.ends, self.ends.request)
        self.task = asyncio.create_task(self.session.run(app, {"pool": 1}))
        if told:
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        """Do as a worker does, though it is less impatient: the app waits."""
        if not self.task.done():
            self.session.tell()

    async def answer(self) -> list[Message]:
        return await asyncio.wait_for(self.ends.answer(), 20)


async def until(holds: Callable[[], object]) -> None:
    """Let the loop turn until it holds."""
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0)


async def quiet(turns: int = 200) -> None:
    """Let the loop turn so often that all which can happen by now has happened."""
    for _ in range(turns):
        await asyncio.sleep(0)


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test on a loop of its own; `TimeoutError` if it hangs."""

    async def main() -> None:
        await asyncio.wait_for(test(), 60)

    asyncio.run(main())
