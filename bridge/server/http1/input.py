"""The input side of a connection: whether it reads, the body that comes in, and its end.

A body has limits of size and of time (S2, W22); times are in seconds of the server's clock.
"""

from __future__ import annotations

from typing import Final

from bridge.errors import RequestError
from bridge.server.config.config import Config
from bridge.server.request import Request
from bridge.server.state import ServerState
from bridge.server.transport.output import Output

#: Seconds after a half-close until the app is told that the client has left.
HALF_CLOSE_GRACE: Final = 2.0


class InputEnd:
    """The client sends no more; but it may still read (half-close)."""

    __slots__ = ("_sent", "received", "since")

    def __init__(self, now: float, *, received: bool) -> None:
        #: When that was seen, or when it last took something of the response.
        self.since = now
        #: Its FIN was received, behind all that it had sent; else it is behind unread bytes.
        self.received = received
        self._sent = 0

    def has_left(self, now: float, sent: int) -> bool:
        """Whether the client takes nothing either; `sent`: bytes of the response so far.

        FIN alone does not tell a client that reads on from one that is gone; but one that is gone
        answers what is sent with RST, and then the connection is lost anyway.
        """
        if sent != self._sent:
            self._sent, self.since = sent, now
            return False
        return now - self.since > HALF_CLOSE_GRACE


class IncomingBody:
    """What a connection counts of one body that comes in."""

    __slots__ = (
        "_heard_at",
        "_heard_size",
        "_judged_at",
        "_judged_size",
        "_limit",
        "_paused_at",
        "request",
        "size",
    )

    def __init__(self, request: Request, limit: int, now: float) -> None:
        """`limit`: bytes that are taken at most; 0: any."""
        self.request = request
        #: Bytes that have come.
        self.size = 0
        self._limit = limit
        self._paused_at = 0.0
        self.begin(now)

    def begin(self, now: float) -> None:
        """Expect the client to send from now on."""
        #: When something of the body came, as far as `check` knows, and what had come by then.
        self._heard_at = now
        self._heard_size = 0
        #: When its pace was last judged, or the body began, and what had come by then.
        self._judged_at = now
        self._judged_size = 0

    def take(self, data: bytes) -> None:
        """Count a piece. Raises `RequestError` (413)."""
        self.size += len(data)
        if 0 < self._limit < self.size:
            raise RequestError(
                f"read more than {self._limit} bytes of body; raise --limit-body-size to allow "
                "more",
                413,
            )

    def pause(self, now: float) -> None:
        """The client cannot send: that is not its pace, nor its silence."""
        self._paused_at = now

    def resume(self, now: float) -> None:
        """It can send again."""
        self._heard_at = now
        self._judged_at += now - self._paused_at

    def check(self, now: float, config: Config) -> RequestError | None:
        """The error of a client that sends too slowly (408)."""
        if self.size != self._heard_size:
            self._heard_size, self._heard_at = self.size, now
        silent, idle = now - self._heard_at, config.timeout_body_idle
        if idle and silent > idle:
            why = f"nothing of the body came for {silent:.0f} s; raise --timeout-body-idle"
            return RequestError(f"{why} to allow that", 408)
        took, limit = now - self._judged_at, config.timeout_body
        if not limit or took <= limit:
            return None
        came = self.size - self._judged_size
        if came < config.limit_body_pace * (took - limit + 1):
            why = f"read {came} bytes of body in {took:.0f} s; lower --limit-body-pace"
            return RequestError(f"{why} to allow that", 408)
        if took > 2 * limit:
            # To have sent much does not earn a long silence.
            self._judged_at, self._judged_size = now, self.size
        return None


class Input:
    """The input side of one connection, as far as it is about time and back-pressure."""

    __slots__ = ("_output", "_state", "body", "end", "paused")

    def __init__(self, state: ServerState, output: Output) -> None:
        self._state = state
        self._output = output
        #: The transport does not read: enough waits already.
        self.paused = False
        #: The body that comes in, or would, had it not failed.
        self.body: IncomingBody | None = None
        #: The client has sent FIN.
        self.end: InputEnd | None = None

    def pause(self) -> None:
        """Have the client wait."""
        if not self.paused and not self._output.closed:
            self.paused = True
            if self.body is not None:
                self.body.pause(self._state.clock())
            self._output.transport.pause_reading()

    def resume(self) -> None:
        """Let the client send again."""
        if self.paused and not self._output.closed:
            self.paused = False
            if self.body is not None:
                self.body.resume(self._state.clock())
            # What comes at once is read in no request's context.
            self._state.context.copy().run(self._output.transport.resume_reading)

    def expect_body(self, request: Request, limit: int) -> None:
        """Count the body of `request` from now on; at most `limit` bytes are taken, 0: any."""
        self.body = IncomingBody(request, limit, self._state.clock())

    def end_body(self) -> None:
        """Count no more: the body is whole, or nobody cares any more."""
        self.body = None

    def note_end(self, *, received: bool) -> None:
        """Note the client's FIN; `received`: behind all that it has sent."""
        self.end = InputEnd(self._state.clock(), received=received)


def too_large(size: int, limit: int) -> RequestError:
    """The error for a body of `size` bytes, if `limit` are taken."""
    return RequestError(
        f"{size} bytes of body, limit is {limit}; raise --limit-body-size to allow more", 413
    )
