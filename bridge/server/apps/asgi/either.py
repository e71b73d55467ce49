"""A request that the new app answers, or the old one instead, on our own server (M22).

The app that does so knows nothing of exchanges. So each runs in a context that says which one it
is: when the old app is asked, the exchange is one of the old side's, in the log and the figures.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from copy import copy
from typing import Any, Final
from weakref import ref

from bridge.server.apps.asgi.exchange import AsgiExchange, AsgiHandler
from bridge.server.exchange import Connection
from bridge.server.metrics.histogram import Meter
from bridge.server.request import Request
from bridge.types import ASGIApp

#: Tasks that an app begins have it, too, and may live for long: they hold no exchange.
_CURRENT: Final[ContextVar[ref[EitherExchange]]] = ContextVar("bridge_either_exchange")


class EitherHandler(AsgiHandler):
    """Answers requests with an app that `make` makes.

    It is made with a function that it calls before it asks the old app; what it calls that with is
    passed on to `tell`.
    """

    #: Counts requests that the old app has answered.
    meter_instead: Meter | None = None

    def __init__(
        self,
        make: Callable[[Callable[[Exception], object]], ASGIApp],
        tell: Callable[[Exception], object],
        lifespan_state: dict[str, Any],
        prefix: str,
    ) -> None:
        self._tell = tell
        super().__init__(make(self._rescued), lifespan_state, prefix)

    def open(self, connection: Connection, request: Request) -> EitherExchange:
        """Make an exchange for this request."""
        return EitherExchange(self, connection, request)

    def _rescued(self, error: Exception) -> None:
        self._tell(error)
        exchange = _CURRENT.get()()
        if exchange is not None:
            _go_to_old(exchange)


class EitherExchange(AsgiExchange):
    """One request of such a handler."""

    handler: EitherHandler

    def start_app(self) -> None:
        """Call the app, in a context that knows this exchange."""
        token = _CURRENT.set(ref(self))
        try:
            super().start_app()
        finally:
            _CURRENT.reset(token)


def _go_to_old(exchange: EitherExchange) -> None:
    """Note that the old app answers."""
    if exchange.served.instead is not None:
        exchange.served = exchange.served.instead
    meter = exchange.handler.meter_instead
    if meter is not None:
        exchange.handler = copy(exchange.handler)
        exchange.handler.meter = meter
