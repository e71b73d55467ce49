"""A route in mode ``shadow`` on our own server: which requests are kept for a copy (M10).

Those that are not go straight to the old app, as in mode ``old``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Protocol

from bridge.cutover.shadow.copying.marks import FIELD, without_field
from bridge.server.exchange import Connection, Exchange
from bridge.server.metrics.histogram import Meter
from bridge.server.request import Request

if TYPE_CHECKING:
    from bridge.cutover.route import Route
    from bridge.cutover.shadow.copying.copies import Copies


class _Handler(Protocol):
    def open(self, connection: Connection, request: Request) -> Exchange:
        """Make an exchange."""


class CopiedHandler:
    """Opens exchanges of `plain`, or, if a request is to be copied, of `kept`.

    `with_body` is as `kept`, for requests with a body; None: these are not copied.
    """

    def __init__(
        self,
        copies: Copies,
        route: Route,
        plain: _Handler,
        kept: _Handler,
        with_body: _Handler | None,
    ) -> None:
        self._tally = copies.tally
        self._begins = copies.begins
        self._use_loop = copies.use_loop
        self._route = route
        self._plain = plain
        self._kept = kept
        self._with_body = with_body

    def open(self, connection: Connection, request: Request) -> Exchange:
        """Make an exchange."""
        if connection.state.stop_phase or not self._begins(self._route, request.method):
            return self._plain.open(connection, request)
        handler = self._with_body if request.length else self._kept
        if handler is None:
            self._tally.drop(self._route.name, "request-body")
            return self._plain.open(connection, request)
        self._use_loop(asyncio.get_running_loop())
        return handler.open(connection, request)

    def use_meters(self, meter: Callable[..., Meter], mount: str) -> None:
        """Do nothing: each handler was told (`CutoverHandler`)."""

    def use_limit(self, seconds: float, name: str) -> None:
        """Do nothing, for the same reason."""


def without_claim(request: Request) -> Request:
    """Return a request without X-Shadow, which no client can say; as it is, if it has none."""
    for name, _ in request.headers:
        if name == FIELD:
            other = copy(request)
            other.headers = without_field(request.headers)
            other.repeated = False
            return other
    return request
