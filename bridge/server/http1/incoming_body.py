"""The body that comes in on a connection: its limits of size and of time (S2, W22)."""

from __future__ import annotations

from bridge.errors import RequestError
from bridge.server.config.config import Config
from bridge.server.request import Request


class IncomingBody:
    """What a connection counts of one body; times are in seconds of the server's clock."""

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
