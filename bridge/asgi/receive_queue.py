"""What a WebSocket's app receives: events in their order, and at the end the disconnect (S20, A40).

`receive` waits for the next event, whichever task asks, and an app that does not ask holds the
client up: `put` says when enough waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from bridge.asgi.disconnect import throttle
from bridge.limits import HIGH_WATER
from bridge.loops.wait_queue import WaitQueue
from bridge.types import Message


class ReceiveQueue:
    """The events that wait for the app of one WebSocket; the first is ``websocket.connect``."""

    __slots__ = (
        "_disconnects",
        "_max_messages",
        "_receivers",
        "_waiting",
        "disconnect",
        "events",
        "full",
        "on_drained",
    )

    def __init__(self, max_messages: int) -> None:
        self._max_messages = max_messages
        self.events: deque[Message] = deque([{"type": "websocket.connect"}])
        #: The tasks that wait in `receive`.
        self._receivers = WaitQueue()
        #: Bytes that wait, one more for each message; counted only while no task waits for them.
        self._waiting = 0
        #: As much waits as may wait: in messages, or in bytes.
        self.full = False
        #: Called when the app has taken all that waited, after `full`.
        self.on_drained: Callable[[], None] | None = None
        #: What `receive` gives when all that came before it is taken, and from then on.
        self.disconnect: Message | None = None
        self._disconnects = 0

    async def receive(self) -> Message:
        """ASGI: the next event."""
        events = self.events
        while not events:
            if self.disconnect is not None:
                return await self._receive_disconnect(self.disconnect)
            await self._receivers.wait()
        event = events.popleft()
        if self._waiting and not events:
            self._make_room()
        return event

    async def _receive_disconnect(self, disconnect: Message) -> Message:
        """An app that asks again and again does not hold the loop."""
        self._disconnects += 1
        await throttle(self._disconnects)
        return disconnect.copy()

    def put(self, data: str | bytes) -> bool:
        """Add a message that came; whether as much waits now as may wait."""
        self.events.append(
            {"type": "websocket.receive", "text": data}
            if type(data) is str
            else {"type": "websocket.receive", "bytes": data}
        )
        if self._receivers.wake():
            return False
        self._waiting += len(data) + 1
        if self._waiting > HIGH_WATER or len(self.events) >= self._max_messages:
            self.full = True
        return self.full

    def end(self, code: int, reason: str = "") -> None:
        """Nothing comes any more: the app is told so, after what has come. The first call wins."""
        if self.disconnect is None:
            self.disconnect = {"type": "websocket.disconnect", "code": code, "reason": reason}
            self._receivers.wake()

    def drop(self) -> None:
        """Forget what waits: the app has closed the WebSocket."""
        self.events.clear()
        self._make_room()

    def _make_room(self) -> None:
        self._waiting = 0
        if self.full:
            self.full = False
            if self.on_drained is not None:
                self.on_drained()
