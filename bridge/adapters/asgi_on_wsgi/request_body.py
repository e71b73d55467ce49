"""A request's body, from ``wsgi.input`` to ``receive()`` (A10, A11).

Reading may block, so it is done on the WSGI side, a piece at a time, when the app asks for one.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from typing import Any

from bridge.limits import PIECE
from bridge.loops.wait_queue import WaitQueue
from bridge.types import Message

logger = logging.getLogger("bridge.error")


class Upload:
    """The body of one request, `length` bytes of it, or (None) all that `source` has."""

    def __init__(self, source: Any, length: int | None) -> None:
        # A buffered reader's read() waits until it has all it was asked for, its read1() does not.
        self._read = source.read1 if isinstance(source, io.BufferedIOBase) else source.read
        self._left = length
        #: Raised on the loop's side where the app waits for a piece, lowered on the WSGI side.
        self.wanted = False
        self._asked = False
        #: Nothing more will come.
        self.over = False
        #: Nothing more will come, and it was not all there.
        self.cut_off = False
        self._dropped = False
        self._message: Message | None = None
        self._receivers = WaitQueue()

    # --------------------------------------------------------- on the WSGI side

    def read(self) -> Message:
        """Read the next piece; where the body is cut off it is ``http.disconnect`` (A11)."""
        self.wanted = False
        left = self._left
        try:
            data: bytes = self._read(PIECE if left is None else min(PIECE, left))
        except Exception as error:
            logger.debug("the request's body could not be read", exc_info=error)
            return {"type": "http.disconnect"}
        if left is None:
            more = bool(data)
        elif data:
            self._left = left - len(data)
            more = self._left > 0
        else:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": data, "more_body": more}

    # --------------------------------------------------------- on the loop's side

    async def receive(self, ask: Callable[[], None]) -> Message | None:
        """The next piece, which `ask()` has the WSGI side read; None where no more will come.

        Of several tasks that receive at once each gets a piece of its own. A task that is
        cancelled while it waits loses nothing: the piece is kept for the next one.
        """
        while self._message is None:
            if self.over:
                return None
            if not self._asked:
                self._asked = self.wanted = True
                ask()
            await self._receivers.wait()
        message, self._message = self._message, None
        return message

    def put(self, message: Message) -> None:
        """Take the piece that was asked for."""
        self._asked = False
        if self._dropped:
            return
        self.over = not message.get("more_body", False)
        self.cut_off = message["type"] == "http.disconnect"
        if not self.cut_off:
            self._message = message
        self._receivers.wake()

    def cut(self) -> None:
        """Nobody will read any more: the WSGI side has gone on. What waits here is dropped."""
        self.over = self._dropped = True
        self._message = None
        self._receivers.wake()
