"""From the bytes of an open WebSocket to messages, no faster than they are taken (S20, A40).

Reading pauses for three reasons, and goes on when none is left: too much waits for the app; the
client does not take our pongs; or others have their turn before the rest of very many frames.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from websockets.frames import Close

from bridge.websocket.frames import Frames

# Why reading is paused; bits.
QUEUE_FULL: Final = 1
WRITES_PAUSED: Final = 2
OTHERS_TURN: Final = 4


class Transport(Protocol):
    """The reading side of an asyncio transport."""

    def pause_reading(self) -> None:
        """Read no more for now."""

    def resume_reading(self) -> None:
        """Read on."""

    def is_closing(self) -> bool:
        """Return whether it is closed, or about to be."""


class MessageReader:
    """Reads one WebSocket: frames in, messages out to `put`.

    `put` takes a message and returns whether reading has to pause until `resume(QUEUE_FULL)`.
    `on_output` is called when the frames have something to write; it may be their last.
    """

    def __init__(
        self,
        frames: Frames,
        transport: Transport,
        call_soon: Callable[[Callable[[], None]], Any],
        put: Callable[[str | bytes], bool],
        on_output: Callable[[], None],
    ) -> None:
        self.frames = frames
        #: Why reading is paused; 0: it is not.
        self.paused = 0
        self._discards = False
        self._transport = transport
        self._call_soon = call_soon
        self._put = put
        self._on_output = on_output

    def feed(self, data: bytes) -> None:
        """Take bytes in; what comes behind the end is dropped."""
        if not self.frames.closed:
            self.frames.feed(data)
            self.advance()

    def advance(self) -> None:
        """Take the messages that came, as long as there is room for them."""
        frames, put = self.frames, self._put
        while not self.paused & QUEUE_FULL:
            message = frames.next_message()
            if message is None or isinstance(message, Close):
                break
            if not self._discards and put(message):
                self.pause(QUEUE_FULL)
        if frames.has_data_to_send:
            self._on_output()
        if frames.has_more and not (
            frames.closed or self.paused & OTHERS_TURN or self._transport.is_closing()
        ):
            self.pause(OTHERS_TURN)
            self._call_soon(self._take_turn)

    def _take_turn(self) -> None:
        """Read on after the others have had their turn."""
        self.paused &= ~OTHERS_TURN
        if not (self.frames.closed or self._transport.is_closing()):
            self.advance()
        self._read_on()

    def pause(self, why: int) -> None:
        """Stop reading, for one of the reasons."""
        self.paused |= why
        self._transport.pause_reading()

    def resume(self, why: int) -> None:
        """Drop a reason to pause; read on if no other is left."""
        if self.paused & why:
            self.paused &= ~why
            if why == QUEUE_FULL:
                self.advance()
            self._read_on()

    def discard(self) -> None:
        """Drop messages from now on: we have sent a close frame, and only the client's matters."""
        self._discards = True

    def read_to_end(self) -> None:
        """Read whatever comes, as the WebSocket is closed: so the client gets our close frame."""
        self.paused = 0
        self._read_on()

    def _read_on(self) -> None:
        if not (self.paused or self._transport.is_closing()):
            self._transport.resume_reading()
