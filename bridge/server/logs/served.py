"""Who answered a request behind a `Cutover`: for the access log, and for the response (M2, M20)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from bridge.http.response_head import ResponseHead

#: What stands for a route or a side where there is none.
NO_ROUTE: Final = "-"


class Served(NamedTuple):
    """A route and a side, and what of them is in the response."""

    route: str
    side: str
    #: Field lines that are added.
    lines: bytes
    #: The name of the field that says who answered, in lower case. The app's own is left out.
    own: bytes = b""
    #: Returns more lines, which depend on what the app says.
    more: Callable[[ResponseHead], bytes] | None = None
    #: The same, if the old app answers instead.
    instead: Served | None = None

    def applied(self, head: ResponseHead) -> tuple[ResponseHead, bytes]:
        """Return the head of a response as it is sent, and the lines that are added."""
        if self.own and self.own in head.encoded.lower():
            head = head.without(self.own)
        return head, self.lines if self.more is None else self.lines + self.more(head)


#: Of a request that no `Cutover` has taken.
BY_THE_APP: Final = Served(NO_ROUTE, NO_ROUTE, b"")
