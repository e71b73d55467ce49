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

#: Bytes that each piece of a body takes beside what is in it.
OF_PIECE: Final = 64
_EVENTS: Final = "text/event-stream"


class Bounds(NamedTuple):
    """What all copies of a `Cutover` share: how much may be kept, and where it is counted."""

    settings: Shadow
    tally: Counts
    room: Room


class Kept:
    """One request of `route` and its answer. One thread at a time."""

    # Set only if they change: most requests need few of them.
    body = b""
    body_complete = True
    #: Status and fields as the app has given them, to be looked at for a copy only.
    status: Any = 0
    fields: Any = ()
    seconds = 0.0
    #: Nothing is kept any more.
    dropped = False
    #: The answer is whole.
    over = False
    _parts: tuple[bytes, ...] | list[bytes] = ()
    _held = 0

    def __init__(self, bounds: Bounds, route: Route, scope: Scope) -> None:
        self._bounds = bounds
        self.route = route
        #: That of the request; that of a WSGI app is made when it is read.
        self.scope = scope
        self.started = perf_counter()

    def drop(self, reason: str) -> None:
        """Count why there is no copy, and forget what was kept."""
        if not self.dropped:
            self._bounds.tally.drop(self.route.name, reason)
            self.release()

    def release(self) -> None:
        """Forget what was kept, and give its memory back."""
        self.dropped = True
        if self._held:
            self._bounds.room.give(self._held)
            self._held = 0
        self._parts = ()

    def hold(self, size: int) -> bool:
        """Take memory; if there is none, the copy is dropped, and one that is takes none."""
        if self.dropped:
            return False
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

    def add(self, part: Any) -> None:
        """Keep a piece of the answer; what is no piece is the server's to judge."""
        if self.dropped:
            return
        if type(part) is not bytes:
            if not isinstance(part, bytes | bytearray | memoryview):
                self.drop("unfinished")
                return
            part = bytes(part)
        size, parts = len(part), self._parts
        most = self._bounds.settings.max_response_body + len(self.body) + OF_PIECE * len(parts)
        if self._held + size > most:
            self.drop("response-body")
        elif size and self.hold(size + OF_PIECE):
            if type(parts) is not list:
                self._parts = [part]
            elif len(parts) > 1 or not self._is_stream():
                parts.append(part)
            else:
                self.drop("stream")

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

    def _is_stream(self) -> bool:
        """Whether these are events; asked when a second piece comes, as most answers have one."""
        kind = dict(self.response_fields()).get("content-type", "")
        return kind.strip().lower().startswith(_EVENTS)

    # --------------------------------------------------------- for the copy

    def response_fields(self) -> Fields:
        """Return the fields of the answer; none, if they are such as no server sends."""
        try:
            return tuple((_text(name).lower(), _text(value)) for name, value in self.fields)
        except (TypeError, ValueError):
            return ()

    def response(self) -> RecordedResponse:
        """Return the answer. Raises `ValueError` if its status is none."""
        status = int(str(self.status)[:3])
        body = b"".join(self._parts)
        return RecordedResponse(status, self.response_fields(), body, seconds=self.seconds)

    def request_scope(self) -> Scope:
        """Return the scope of the request, which is this object's alone."""
        return kept_scope(self.scope.copy())


def _text(value: bytes | str) -> str:
    if not isinstance(value, str | bytes | bytearray | memoryview):
        raise TypeError
    return value if isinstance(value, str) else bytes(value).decode("latin-1")
