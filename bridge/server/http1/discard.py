"""What is left of a request body that nobody reads, on its way out (W26)."""

from __future__ import annotations

from typing import Protocol

from bridge.errors import RequestError
from bridge.server.exchange import Connection, Exchange
from bridge.server.request_body import RequestBody
from bridge.server.state import DRAIN_LIMIT


class DiscardOwner(Connection, Protocol):
    """What a discard knows of its connection."""

    def body_discarded(self, complete: bool) -> None:
        """The rest of an unread body is out of the way, or there is too much of it."""


class BodyDiscard(Exchange):
    """Stands where an exchange stood while the rest of its body is thrown away."""

    def __init__(self, connection: DiscardOwner, exchange: Exchange) -> None:
        super().__init__(connection, exchange.head)
        self.keep_alive_fast = False
        self.body = RequestBody()
        self._discarded = connection.body_discarded

    def feed(self, data: bytes) -> bool:
        """Throw a piece of body away."""
        self.body.size += len(data)
        if self.body.size > DRAIN_LIMIT:
            self._discarded(False)
        return True

    def end_body(self, error: RequestError | None = None) -> None:
        """The body is whole, or breaks a rule."""
        self.body.end(error)
        self._discarded(error is None)

    def input_ended(self) -> None:
        """The client stopped in the middle of its body."""
        self._discarded(False)

    disconnected = Exchange.wake
