"""Both ends of a session of gateway and worker in one process, without Redis between them."""

from __future__ import annotations

import asyncio
from typing import Any

from bridge.gateway import protocol
from bridge.gateway.protocol import Frame, Request
from bridge.gateway.session import Session
from bridge.types import Message, Scope

GATEWAY, WORKER = "g.1", "w.1"


class Ends:
    """One session: what an end writes is encoded, and delivered to the other in the next turn."""

    def __init__(self, scope: Scope, events: list[Message]) -> None:
        self.gateway = Session(self, GATEWAY, 0, WORKER)
        self.gateway.pay_first(events)
        asked = protocol.decode_request(protocol.encode_request(Request(GATEWAY, 0, scope, events)))
        self.scope = asked.scope
        self.worker = Session(self, GATEWAY, 0, GATEWAY)
        self.worker.take_first(asked.events)
        self._turn = 0
        #: The frames that the worker has written, as kind and payload.
        self.written: list[tuple[int, Any]] = []

    @property
    def turn(self) -> int:
        """Another number each time: what is posted leaves at once."""
        self._turn += 1
        return self._turn

    def post(self, peer: str, frame: Frame) -> None:
        """Deliver a frame to the other end, as it looks after Redis."""
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
