"""What is left of a request body that nobody reads, on its way out (W26)."""

from __future__ import annotations

from typing import Protocol

from bridge.errors import RequestError
from bridge.server.exchange import Connection, Exchange
from bridge.server.state import DRAIN_LIMIT


class Drained(Connection, Protocol):
    """What a drain knows of its connection."""

    def body_discarded(self, complete: bool) -> None:
        """The rest of an unread body is out of the way, or there is too much of it."""


class BodyDiscard(Exchange):
    """Stands where an exchange stood while the rest of its body is thrown away."""

    def __init__(self, connection: Drained, exchange: Exchange) -> None:
        super().__init__(connection, exchange.head)
        self.complete = self.keep_alive_fast = False
        self.continued = True
        self._drained = connection.body_discarded

    def feed(self, data: bytes) -> bool:
        """Throw a piece of body away."""
        self.body_size += len(data)
        if self.body_size > DRAIN_LIMIT:
            self._drained(False)
        return True

    def end_body(self) -> None:
        """The body is whole."""
        self.complete = True
        self._drained(True)

    def spoil(self, error: RequestError) -> None:
        """The body breaks a rule."""
        self._drained(False)

    def input_ended(self) -> None:
        """The client stopped in the middle of its body."""
        self._drained(False)

    disconnected = Exchange.wake
