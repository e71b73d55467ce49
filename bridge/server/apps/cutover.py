"""A `Cutover` on our own server: each request goes straight to the handler of its app (M1, M2).

The table says which route takes a request. What follows from its switch (a handler, and who is said
to have answered) is worked out at the first request that needs it, and dropped with the table: a
request sees the routes in force when it came, and nothing of others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from bridge.cutover.app import Cutover
from bridge.cutover.canary.stickiness import with_cookie
from bridge.cutover.route import CANARY, NEW, OLD, SHADOW, Route
from bridge.cutover.sides import Choice
from bridge.cutover.table import Table
from bridge.http.paths import strip_prefix
from bridge.http.response_fields import RAW_FIELDS
from bridge.http.response_head import ResponseHead
from bridge.server.apps.asgi.copied import CopiedHandler, without_claim
from bridge.server.apps.asgi.either import EitherHandler
from bridge.server.apps.asgi.exchange import AsgiHandler
from bridge.server.apps.scope import http_scope
from bridge.server.exchange import Connection, Exchange, Handler
from bridge.server.logs.served import NO_ROUTE, Served
from bridge.server.metrics.histogram import Meter, read_clock
from bridge.server.request import Request
from bridge.server.request_body import WHOLE
from bridge.server.state import CUTTING
from bridge.types import ASGIApp
from bridge.wsgi_to_asgi import WsgiToAsgi

if TYPE_CHECKING:
    from bridge.cutover.shadow.copying.copies import Copies

_OLD: Final = Choice(OLD)
#: Where requests go: a handler, and what is said of who answered.
_Way: TypeAlias = "tuple[Handler, Served]"


class AppHandler(Protocol):
    """A handler of one of the apps (`handlers.AppHandler`)."""

    def open(self, connection: Connection, request: Request) -> Exchange:
        """Make an exchange."""

    def use_meters(self, meter: Callable[..., Meter], mount: str) -> None:
        """Count requests."""

    def use_limit(self, seconds: float, name: str) -> None:
        """End requests after so long."""


class CutoverHandler:
    """Hands each request to a handler of the old app or of the new one.

    `make` makes a handler of an app, for the state of its lifespan and its place.
    """

    def __init__(
        self,
        cutover: Cutover,
        state: dict[str, Any],
        prefix: str,
        make: Callable[[ASGIApp, dict[str, Any], str], AppHandler],
    ) -> None:
        self.cutover = cutover
        self.prefix = prefix
        self._state = state
        self._make = make
        self._meter: Callable[..., Meter] | None = None
        self._mount = ""
        self._limit: float | None = None
        cutover.told = True
        cutover.conflicts.begin()  # if there was no lifespan
        self._take(cutover.table)

    def use_meters(self, meter: Callable[..., Meter], mount: str) -> None:
        """Count the requests of each route and side."""
        self._meter, self._mount = meter, mount
        self._take(self.cutover.table)

    def use_limit(self, seconds: float, name: str) -> None:
        """End requests of both apps; each may have a time of its own."""
        self._limit = seconds
        self._take(self.cutover.table)

    def _take(self, table: Table) -> None:
        self._table = table
        #: Route -> where all its requests go, if that is one way.
        self._ways: dict[Route | None, _Way] = {}
        self._find = table.find
        #: Route and side -> a handler for a canary.
        self._canary_ways: dict[tuple[Route, str], Handler] = {}

    def open(self, connection: Connection, request: Request) -> Exchange:
        """Make an exchange of the handler of the app that answers."""
        table = self.cutover.switches.table
        if table is not self._table:
            self._take(table)
        if request.template is None:  # else it was looked at when that was made
            request = without_claim(request)
        path, root_path = request.path, connection.identity.root_path
        if root_path or self.prefix:
            path = strip_prefix(strip_prefix(path, root_path)[1], self.prefix)[1] or "/"
        host = ""
        if table.uses_host:
            field = next((value for name, value in request.headers if name == b"host"), b"")
            host = field.decode("latin-1")
        route = self._find(path, request.method, host)
        way = self._ways.get(route)
        if way is None:
            way = self._way(route, connection, request)
        handler, served = way
        exchange = handler.open(connection, request)
        exchange.served = served
        return exchange

    def _way(self, route: Route | None, connection: Connection, request: Request) -> _Way:
        """Work out where a request goes, and keep that unless it differs from one to the next."""
        if route is not None and route.mode == CANARY and not self.cutover.new_failed:
            scope = http_scope(connection, request, {}, self.prefix)
            choice = self.cutover.choose(route, scope)
            handler: Handler | None = self._canary_ways.get((route, choice.side))
            if handler is None:
                handler = self._handler(route, choice)
                if self._meter is not None:
                    handler = _CanaryHandler(self.cutover, route, choice.side, handler)
                self._canary_ways[route, choice.side] = handler
            return handler, self._served(route, choice)
        choice = self.cutover.choose(route, {})
        way = self._handler(route, choice), self._served(route, choice)
        copies = self.cutover.copies
        if route is not None and route.mode == SHADOW and copies is not None:
            way = self._copied(copies, route, way[0]), way[1]
        self._ways[route] = way
        return way

    def _served(self, route: Route | None, choice: Choice) -> Served:
        name = NO_ROUTE if route is None else route.name
        instead = None
        if _is_rescued(route, choice):
            instead = self._served(route, choice._replace(side=OLD))
        lines = b"".join(
            [RAW_FIELDS[field].line for field in self.cutover.served_field(choice.side)]
        )
        more = None if choice.field is None else partial(_cookie_lines, choice.field)
        return Served(name, choice.side, lines, self.cutover.served_by, more, instead)

    def _handler(self, route: Route | None, choice: Choice) -> AppHandler:
        if route is not None and _is_rescued(route, choice):
            tell = partial(self.cutover.canary.rescued, route)
            either = EitherHandler(self.cutover.or_else_old, tell, self._state, self.prefix)
            if self._meter is not None:
                either.meter_instead = self._meter_of(route, OLD, rescued=True)(self._mount)
            return self._prepared(either, route, choice)
        side = self.cutover.sides[choice.side]
        handler = self._make(side.served, {**self._state, **side.state}, self.prefix)
        return self._prepared(handler, route, choice)

    def _copied(self, copies: Copies, route: Route, plain: AppHandler) -> AppHandler:
        """Make what has some requests copied (M10)."""
        side, state, prefix = self.cutover.sides[OLD], self._state, self.prefix
        of_old = {**state, **side.state}
        if type(side.asgi) is WsgiToAsgi:
            # What reads the body of a request for such an app cannot be kept on the way.
            app = side.asgi.around(partial(copies.tapped_wsgi, route))
            kept = self._prepared(self._make(app, of_old, prefix), route, _OLD)
            return CopiedHandler(copies, route, plain, kept, None)
        kept, tapped = (
            self._prepared(
                AsgiHandler(
                    copies.tapped_asgi(route, side.served, state, with_body=with_body),
                    of_old,
                    prefix,
                ),
                route,
                _OLD,
            )
            for with_body in (False, True)
        )
        return CopiedHandler(copies, route, plain, kept, tapped)

    def _prepared(self, handler: AppHandler, route: Route | None, choice: Choice) -> AppHandler:
        """Tell a handler what it is to count, and how long its requests may take."""
        side = self.cutover.sides[choice.side]
        if self._meter is not None:
            handler.use_meters(self._meter_of(route, choice.side), self._mount)
        if self._limit is not None:
            own = side.timeout_request
            handler.use_limit(self._limit if own is None else own, side.name)
        return handler

    def _meter_of(
        self, route: Route | None, side: str, *, rescued: bool = False
    ) -> Callable[..., Meter]:
        """Return what makes the meter of a route and a side; a canary hears what it counts."""
        assert self._meter is not None
        name = NO_ROUTE if route is None else route.name
        meter: Callable[..., Meter] = partial(self._meter, route=name, side=side)
        if route is None or route.mode != CANARY:
            return meter
        judged = NEW if rescued else side
        return partial(_Observed, self.cutover, (route, judged, rescued), meter)


def _cookie_lines(field: tuple[bytes, bytes], head: ResponseHead) -> bytes:
    """Return the lines of a cookie, if the response may have it."""
    headers = head.raw_headers
    added = islice(with_cookie(headers, field), len(headers), None)
    return b"".join([RAW_FIELDS[each].line for each in added])


def _is_rescued(route: Route | None, choice: Choice) -> bool:
    """Whether the old app answers what the new one fails (M22)."""
    return route is not None and route.rescue and choice.side == NEW


class _CanaryHandler:
    """Opens the exchanges of one side of a canary, which hears how they went."""

    def __init__(self, cutover: Cutover, route: Route, side: str, inner: AppHandler) -> None:
        self._begin = partial(cutover.flights.begin, route, side)
        self._inner = inner

    def open(self, connection: Connection, request: Request) -> Exchange:
        """Make an exchange."""
        exchange = self._inner.open(connection, request)
        self._begin(exchange.started, _Flight(exchange))
        return exchange


class _Flight:
    """An exchange that is on its way (`Flights`)."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    @property
    def unanswered(self) -> bool:
        """Whether only its app is waited for, and has not begun to answer."""
        exchange = self._exchange
        return not exchange.status and exchange.body.state <= WHOLE

    @property
    def client_took(self) -> float:
        """For how many seconds its client has kept the app waiting."""
        exchange = self._exchange
        return max(exchange.body.ended_at - exchange.started, 0.0)

    @property
    def seconds(self) -> float | None:
        """How long the app took, until its answer began; None if that came before the request."""
        exchange, response = self._exchange, self._exchange.response
        answered = 0.0 if response is None else response.started_at  # 0: it was sent whole
        took = (answered or read_clock()) - exchange.started - self.client_took
        return None if took < 0 or exchange.body.state > WHOLE else took

    def counted(self, status: int) -> int:
        """Return the status that counts, as `Outcome.ended` does; `status` is 0 if it was cut."""
        exchange, connection = self._exchange, self._exchange.connection
        if 0 < status < 500:
            return status
        left = connection.client_left or connection.output.closed or exchange.body.error is not None
        if left or connection.state.stop_phase == CUTTING:
            return 0
        return status or 500


class _Observed:
    """A meter that also tells the canary how a request of `what` (route, side, rescued) went."""

    def __init__(
        self,
        cutover: Cutover,
        what: tuple[Route, str, bool],
        meter: Callable[..., Meter],
        *mount: str,
        **more: str,
    ) -> None:
        self._inner = meter(*mount, **more)
        self._flights = cutover.flights
        route, side, self._rescued = what
        self._observe = partial(cutover.canary.observe, route, side)
        self.since, self.read = self._inner.since, self._inner.read

    def record(self, started: float, status: int, /) -> None:
        """Count a request that is over (`Meter`)."""
        self._inner.record(started, status)
        flight = self._flights.end(started)
        if isinstance(flight, _Flight):
            status = 500 if self._rescued else flight.counted(status)
            self._observe(status, flight.seconds)
