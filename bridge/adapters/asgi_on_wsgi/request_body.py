"""A request's body, from ``wsgi.input`` to ``receive()`` (A10, A11).

Reading may block, so it is done on the WSGI side, a piece at a time, when the app asks for one.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from bridge.limits import READ_SIZE
from bridge.log import logger
from bridge.loops.wait_queue import WaitQueue
from bridge.types import Message

#: More may come; all of it is here; it ended too early; nobody reads it any more.
COMING, COMPLETE, CUT_OFF, DISCARDED = range(4)


class RequestBody:
    """The body of one request: `length` bytes of `source`, or (None) all that it has."""

    __slots__ = ("_message", "_read", "_receivers", "_remaining", "_requested", "phase", "wanted")

    def __init__(self, source: Any, length: int | None) -> None:
        # A buffered reader's read() waits until it has all it was asked for, its read1() does not.
        self._read = source.read1 if isinstance(source, io.BufferedIOBase) else source.read
        self._remaining = length
        #: What may still come; written on the loop's side.
        self.phase = COMING
        #: The app waits for a piece: raised on the loop's side, lowered on the WSGI side.
        self.wanted = False
        #: A piece was asked for, and has not come yet.
        self._requested = False
        self._message: Message | None = None
        self._receivers = WaitQueue()

    # --------------------------------------------------------- on the WSGI side

    def read(self) -> Message:
        """Read the next piece; ``http.disconnect`` if the body is cut off (A11)."""
        self.wanted = False
        remaining = self._remaining
        try:
            data: bytes = self._read(READ_SIZE if remaining is None else min(READ_SIZE, remaining))
        except Exception as error:
            logger.debug("the request's body could not be read", exc_info=error)
            return {"type": "http.disconnect"}
        if remaining is None:
            more = bool(data)
        elif data:
            self._remaining = remaining - len(data)
            more = self._remaining > 0
        else:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": data, "more_body": more}

    # --------------------------------------------------------- on the loop's side

    async def receive(self, request: Callable[[], None]) -> Message | None:
        """Return the next piece, None when no more will come.

        `request()` has the WSGI side read a piece. Of several tasks that receive at once each gets
        a piece of its own. A task that is cancelled while it waits loses nothing: the piece is
        kept for the next one.
        """
        while self._message is None:
            if self.phase != COMING:
                return None
            if not self._requested:
                self._requested = self.wanted = True
                request()
            await self._receivers.wait()
        message, self._message = self._message, None
        return message

    def put(self, message: Message) -> None:
        """Take the piece that was asked for."""
        self._requested = False
        if self.phase == DISCARDED:
            return
        if message["type"] == "http.disconnect":
            self.phase = CUT_OFF
        else:
            self._message = message
            if not message["more_body"]:
                self.phase = COMPLETE
        self._receivers.wake()

    def discard(self) -> None:
        """Drop what waits here: nobody will read any more, as the WSGI side has gone on."""
        self.phase = DISCARDED
        self._message = None
        self._receivers.wake()
