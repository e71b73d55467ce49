"""The body of a request on its way from the connection to the app: a queue of bytes."""

from __future__ import annotations

from time import perf_counter
from typing import Final

from bridge.errors import RequestError
from bridge.limits import HIGH_WATER

# How much of a request's body has come (`RequestBody.state`); up to WHOLE nothing more comes.
NO_BODY: Final = 0
WHOLE: Final = 1
PARTIAL: Final = 2
#: It breaks a rule, and never becomes whole.
FAILED: Final = 3


class RequestBody:
    """The body of one request: what of it has come, and was not taken yet."""

    __slots__ = (
        "_chunks",
        "awaits_continue",
        "ended_at",
        "error",
        "limit",
        "size",
        "state",
        "waiting",
    )

    #: The app runs when all of it is here, and not before.
    held = False

    def __init__(
        self, state: int = PARTIAL, limit: int = 0, *, awaits_continue: bool = False
    ) -> None:
        #: `NO_BODY`, `WHOLE`, `PARTIAL` or `FAILED`.
        self.state = state
        #: The most bytes that are taken; 0: any.
        self.limit = limit
        #: The client waits for 100 Continue before it sends any of it (RFC 9110 §10.1.1).
        self.awaits_continue = awaits_continue
        #: The rule that it breaks.
        self.error: RequestError | None = None
        #: When the last of it came, by `time.perf_counter`; 0 if it came with its head, or has not.
        self.ended_at = 0.0
        #: Bytes that have come so far, and those of them that wait here.
        self.size = self.waiting = 0
        self._chunks: list[bytes] = []

    def stop_awaiting_continue(self) -> None:
        """The client has been sent 100 Continue, or sends the body without it."""
        self.awaits_continue = False

    def feed(self, data: bytes) -> bool:
        """Take a piece; False if as much waits as may wait."""
        self.size += len(data)
        self.waiting += len(data)
        self._chunks.append(data)
        return self.waiting < HIGH_WATER

    def take(self) -> bytes:
        """All that waits; ``b""`` if nothing does."""
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self.waiting = 0
        return data

    def end(self, error: RequestError | None) -> None:
        """Nothing more comes: it is whole, or breaks a rule."""
        self.state = WHOLE if error is None else FAILED
        self.error = error
        self.ended_at = perf_counter()


class WholeBody(RequestBody):
    """A body that came whole with its head."""

    __slots__ = ()

    def __init__(self, data: bytes, limit: int) -> None:
        # Most bodies are made here: so no call of another method.
        self.state, self.limit, self.awaits_continue, self.error = WHOLE, limit, False, None
        self.size = self.waiting = len(data)
        self._chunks = [data]
        self.ended_at = 0.0


#: What all requests without a body have.
EMPTY_BODY: Final = RequestBody(NO_BODY)
