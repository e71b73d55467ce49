"""A response on its way from the app to the host, and the wake-up for it (A20, A34).

`AppSide` fills a queue on the loop's side, `HttpExchange` empties it on the WSGI side. Each
attribute is written on one side only, so there is no lock. A side that changes something then looks
whether the other one waits; a side that is about to wait says so first, and then looks once more.
So no wake-up is lost.
"""

from __future__ import annotations

import io
from collections import deque
from typing import Final

from bridge.limits import HIGH_WATER, LOW_WATER
from bridge.loops.waiters import Waiter
from bridge.types import TextHeaders

#: Seconds that the head of a response is held back for the first piece of body.
HEAD_DELAY: Final = 0.02

#: What the host does: it looks every `HEAD_DELAY` whether there is a head; it waits in longer
#: steps; it has stopped, as the client has gone; it has stopped, as the app took too long.
EXPECTING, WAITING, GONE, TIMED_OUT = range(4)


class ResponseQueue:
    """One response on its way from the loop's side to the WSGI side."""

    __slots__ = (
        "_blocked_waiter",
        "_notified",
        "app_waits",
        "chunks",
        "ended",
        "failure",
        "file",
        "headers",
        "hints",
        "host",
        "queued",
        "status",
        "taken",
    )

    def __init__(self) -> None:
        #: Pieces of body that wait for the host: put in on one side, taken out on the other.
        self.chunks: deque[bytes] = deque()

        # --- written on the loop's side
        #: The fields of the head; set before the status.
        self.headers: TextHeaders
        #: The status line's text, as soon as there is a head.
        self.status: str | None = None
        #: Bytes of body that were put in so far.
        self.queued = 0
        #: The rest of the body, as an open file.
        self.file: io.FileIO | None = None
        #: Early hints that wait for the host.
        self.hints: deque[TextHeaders] | None = None
        #: The response is whole.
        self.ended = False
        #: The app failed with this before its response was whole.
        self.failure: Exception | None = None

        # --- written on the WSGI side
        #: Bytes of body that were taken out so far.
        self.taken = 0
        self.host = EXPECTING

        # --- raised on one side, lowered on the other
        #: The app waits for room.
        self.app_waits = False
        self._blocked_waiter: Waiter | None = None
        self._notified = False

    # --------------------------------------------------------- on the loop's side

    def start(self, status: str, headers: TextHeaders) -> None:
        """Put in the head; the host is not notified, as something will follow it."""
        self.headers = headers
        self.status = status  # last: this is what the host looks at

    def hint(self, headers: TextHeaders) -> None:
        """Put in the fields of an early hint."""
        if self.hints is None:
            self.hints = deque()
        self.hints.append(headers)
        self.notify_host()

    def put(self, chunk: bytes) -> bool:
        """Put in a piece of body that is not the last; whether the app should pause."""
        self.chunks.append(chunk)
        self.queued += len(chunk)
        self.notify_host()
        return self.queued - self.taken > HIGH_WATER

    def end(self, chunk: bytes = b"") -> None:
        """Put in the last piece, if it is not empty: the response is whole."""
        if chunk:
            self.chunks.append(chunk)
            self.queued += len(chunk)
        self.ended = True
        self.notify_host()

    def end_with(self, file: io.FileIO) -> None:
        """Put in the rest of the body, a file that the host closes: the response is whole."""
        self.file = file
        self.end()

    def fail(self, failure: Exception) -> None:
        """Mark the response as one that will never be whole."""
        self.failure = failure
        self.notify_host()

    def notify_host(self) -> None:
        """Wake the host if it waits: there is something for it."""
        self._notified = True
        waiter = self._blocked_waiter
        if waiter is not None:
            self._blocked_waiter = None
            waiter.wake()

    def is_full(self) -> bool:
        """Whether so much waits for the host that the app should pause."""
        return self.queued - self.taken > HIGH_WATER

    def must_wait(self) -> bool:
        """Say that the app waits for room, and whether it really must."""
        self.app_waits = True
        return self.queued - self.taken > LOW_WATER  # it may just have been taken

    # --------------------------------------------------------- on the WSGI side

    def wait(self, waiter: Waiter, seconds: float) -> bool:
        """Wait until the host is notified, at most `seconds`; whether it was."""
        self._blocked_waiter = waiter  # first this, then the look: see `notify_host`
        notified = self._notified or waiter.wait(seconds)
        self._blocked_waiter = None
        self._notified = False
        return notified

    def set_host(self, does: int) -> None:
        """Say what the host does from now on."""
        self.host = does

    def take(self) -> bytes:
        """Take the next piece of body out."""
        chunk = self.chunks.popleft()
        self.taken += len(chunk)
        return chunk

    def lets_app_continue(self) -> bool:
        """Whether an app that waits for room may go on; True once for each time that it waits."""
        if not self.app_waits or self.queued - self.taken > LOW_WATER:
            return False
        self.app_waits = False
        return True
