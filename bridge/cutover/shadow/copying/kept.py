"""An answer of the old app, kept as it passes, with the request that it belongs to (M10).

What is too long is forgotten at once, so that a stream that never ends holds no memory.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bridge.cutover.shadow.copying.counts import Counts, Room
from bridge.cutover.shadow.copying.marks import kept_scope
from bridge.cutover.shadow.copying.settings import Shadow
from bridge.cutover.shadow.records import Fields, RecordedResponse
from bridge.types import Scope

if TYPE_CHECKING:
    from bridge.cutover.route import Route

_EVENTS: Final = "text/event-stream"


class Bounds(NamedTuple):
    """What all copies of a `Cutover` share: how much may be kept, and where it is counted."""

    settings: Shadow
    tally: Counts
    room: Room


class Kept:
    """One request of `route` and its answer. One thread at a time."""

    __slots__ = (
        "_bounds", "_held", "_parts", "body", "body_complete", "dropped", "fields", "over",
        "route", "scope", "seconds", "started", "status",
    )  # fmt: skip

    def __init__(self, bounds: Bounds, route: Route, scope: Scope) -> None:
        self._bounds = bounds
        self.route = route
        #: That of the request; made later for some, so it is read only when it is copied.
        self.scope = scope
        self.body = b""
        self.body_complete = True
        self.status = 0
        self.fields: Any = ()
        self.seconds = 0.0
        self.started = perf_counter()
        #: Nothing is kept any more.
        self.dropped = False
        #: The answer is whole.
        self.over = False
        self._parts: list[bytes] = []
        self._held = 0

    def drop(self, reason: str) -> None:
        """Count why there is no copy, and forget what was kept."""
        if not self.dropped:
            self._bounds.tally.drop(self.route.name, reason)
            self.release()

    def release(self) -> None:
        """Forget what was kept, and give its memory back."""
        self.dropped = True
        self._bounds.room.give(self._held)
        self._held = 0
        self._parts = []

    def hold(self, size: int) -> bool:
        """Take memory; if there is none, the copy is dropped."""
        if not self._bounds.room.take(size):
            self.drop("memory")
            return False
        self._held += size
        return True

    # --------------------------------------------------------- the request's body

    def add_request(self, part: bytes, *, more: bool) -> None:
        """Keep what the old app has read of the request's body."""
        self.body_complete = not more
        if part and not self.dropped:
            if len(self.body) + len(part) > self._bounds.settings.max_request_body:
                self.drop("request-body")
            elif self.hold(len(part)):
                self.body += part

    # --------------------------------------------------------- the answer

    def begin(self, status: int | str, fields: Any) -> None:
        """Keep the head of the answer: status and fields as ASGI or as WSGI has them.

        What is neither is the server's to judge: then there is no copy.
        """
        try:
            self.status, self.fields = int(str(status)[:3]), (*fields,)
            for name, value in self.fields:
                is_type = len(name) == 12 and _text(name).lower() == "content-type"
                if is_type and _text(value).strip().lower().startswith(_EVENTS):
                    self.drop("stream")
        except Exception:
            self.drop("unfinished")

    def add(self, part: Any) -> None:
        """Keep a piece of the answer; what is no piece is the server's to judge."""
        if self.dropped:
            return
        if type(part) is not bytes:
            if not isinstance(part, bytes | bytearray | memoryview):
                self.drop("unfinished")
                return
            part = bytes(part)
        if not part:
            return
        if self._held + len(part) > self._bounds.settings.max_response_body + len(self.body):
            self.drop("response-body")
        elif self.hold(len(part)):
            self._parts.append(part)

    def finish(self) -> bool:
        """Note that the answer is whole; whether it can be copied."""
        if self.dropped or self.over:
            return False
        if not self.body_complete or not self.status:
            self.drop("unfinished" if self.body_complete else "request-body")
            return False
        self.over = True
        self.seconds = perf_counter() - self.started
        return True

    def response(self) -> RecordedResponse:
        """Return the answer."""
        fields: Fields = tuple((_text(name).lower(), _text(value)) for name, value in self.fields)
        return RecordedResponse(self.status, fields, b"".join(self._parts), seconds=self.seconds)

    def request_scope(self) -> Scope:
        """Return the scope of the request, which is this object's alone."""
        return kept_scope(self.scope.copy())


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else bytes(value).decode("latin-1")
