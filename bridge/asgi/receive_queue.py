"""The queue of events that a WebSocket app receives; the last is the disconnect (S20, A40).

Any task may wait in `receive` for the next event. If the app does not receive, the client must be
slowed down: `put` says when the queue is full.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from bridge.asgi.disconnect import throttle
from bridge.limits import HIGH_WATER
from bridge.loops.wait_queue import WaitQueue
from bridge.types import Message


class ReceiveQueue:
    """The events for the app of one WebSocket; the first is ``websocket.connect``."""

    __slots__ = (
        "_disconnects",
        "_max_messages",
        "_on_drained",
        "_receivers",
        "_waiting",
        "disconnect",
        "events",
        "full",
    )

    def __init__(self, max_messages: int) -> None:
        self._max_messages = max_messages
        self.events: deque[Message] = deque([{"type": "websocket.connect"}])
        #: The tasks that wait in `receive`.
        self._receivers = WaitQueue()
        #: Bytes in the queue, plus one for each message; not counted if a task takes it at once.
        self._waiting = 0
        #: Whether the queue is full: in messages, or in bytes.
        self.full = False
        #: Called when a full queue has become empty.
        self._on_drained: Callable[[], None] | None = None
        #: The disconnect, which `receive` returns when the queue is empty, every time.
        self.disconnect: Message | None = None
        self._disconnects = 0

    def call_when_drained(self, function: Callable[[], None]) -> None:
        """Call `function` from now on when a full queue has become empty."""
        self._on_drained = function

    async def receive(self) -> Message:
        """Return the next event (ASGI)."""
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
        """Return the disconnect; an app that calls again and again is slowed down."""
        self._disconnects += 1
        await throttle(self._disconnects)
        return disconnect.copy()

    def put(self, data: str | bytes) -> bool:
        """Add a message from the client; return whether the queue is full now."""
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
        """End the queue: after what is in it, the app gets the disconnect. The first call wins."""
        if self.disconnect is None:
            self.disconnect = {"type": "websocket.disconnect", "code": code, "reason": reason}
            self._receivers.wake()

    def drop(self) -> None:
        """Clear the queue: the app has closed the WebSocket."""
        self.events.clear()
        self._make_room()

    def _make_room(self) -> None:
        self._waiting = 0
        if self.full:
            self.full = False
            if self._on_drained is not None:
                self._on_drained()
