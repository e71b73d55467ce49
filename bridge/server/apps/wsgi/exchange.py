"""The WSGI handler: an exchange becomes an environ and a job of a runner.

No scope, no messages, no task in between; the rules are those of `wsgi/environ.py` and
`wsgi/call.py`, the same as behind `WsgiToAsgi`.

What all runners share stands here: the request's way in. How a response leaves depends on the
thread in which the app runs: `on_loop.py` and `in_thread.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Final, Protocol

from bridge.caches import BoundedDict
from bridge.errors import BridgeError, RequestError
from bridge.http.leniency import LENIENT, Leniency
from bridge.http.response_fields import NO_ROLE, TEXT_FIELDS, Field
from bridge.http.response_sink import ResponseSink
from bridge.limits import HIGH_WATER
from bridge.runners import Runner
from bridge.server.apps.scope import http_scope
from bridge.server.apps.wsgi.environ import complete_environ, fill_environ, place_environ
from bridge.server.apps.wsgi.lazy_scope import lazy_scope
from bridge.server.apps.wsgi.request_body import held_body, open_input
from bridge.server.exchange import DONE, Connection, Exchange, give_up, next_body, send_continue
from bridge.server.metrics.histogram import Meter
from bridge.server.request import CHUNKED, Request
from bridge.server.request_body import WHOLE
from bridge.server.state import Place
from bridge.types import Environ, Scope, TextHeaders, WSGIApp
from bridge.wsgi.call import WsgiCall
from bridge.wsgi.environ import base_environ, error_stream
from bridge.wsgi.input import spool_limit
from bridge.wsgi.watched import Limit, new_watched_call

#: The most places that a handler keeps the beginning of an environ for.
_MOST_PLACES: Final = 256


class WsgiHandler:
    """Answers requests with a WSGI app. One per app, with a runner of its own (W52).

    `spool_body`: take whole bodies before the app runs, this many bytes of each in memory.
    `max_body_size`: bytes; None leaves it to the server's own limit (W22).
    `leniency`: how far responses that break PEP 3333 are taken.
    `limit`: the time that requests have (R2); None: any.
    `exchange`: the class of exchanges that fits the runner.
    """

    def __init__(
        self,
        app: WSGIApp,
        runner: Runner,
        *,
        max_body_size: int | None = None,
        spool_body: int | None = None,
        multiprocess: bool = False,
        prefix: str = "",
        leniency: Leniency = LENIENT,
        limit: Limit | None = None,
        exchange: Callable[[WsgiHandler, Connection, Request], WsgiExchange],
    ) -> None:
        self.app = app
        self.runner = runner
        self.leniency = leniency
        self.limit = limit
        self._exchange = exchange
        self.max_body_size = max_body_size
        self.spool = spool_limit(spool_body, can_wait=runner.can_wait)
        #: Where the app is mounted, below the server's own root path.
        self.prefix = prefix
        #: Counts requests, where that is wanted.
        self.meter: Meter
        self._places: BoundedDict[Place, Environ] = BoundedDict(_MOST_PLACES)
        self._place_environ = self._places.get
        self._base = base_environ(multithread=runner.multithread, multiprocess=multiprocess)
        self._base["SERVER_PROTOCOL"] = "HTTP/1.1"
        self._base["wsgi.errors"] = error_stream()
        self._base["bridge.stats"] = runner.stats

    def use_meters(self, meter: Callable[[str], Meter], mount: str) -> None:
        """Count requests, which are those of `mount`."""
        self.meter = meter(mount)

    def use_limit(self, seconds: float, name: str) -> None:
        """Do nothing: the app was told when it was adopted (`limit`)."""

    def open(self, connection: Connection, request: Request) -> WsgiExchange:
        """Make an exchange for this request."""
        return self._exchange(self, connection, request)

    def build_scope(self, exchange: Exchange) -> Scope:
        """Make the ASGI scope of a request (W10)."""
        return http_scope(exchange.connection, exchange.request, {}, self.prefix)

    def template_of(self, connection: Connection, request: Request) -> Environ:
        """Make what follows from the head of `request`; keep it if that comes again and again."""
        known = request.template
        if known is not None and known[0] is self:
            return known[1]
        place = connection.identity.place
        base = self._place_environ(place)
        if base is None:
            base = place_environ(self._base, connection, self.prefix)
            self._places.store(place, base)
        template = fill_environ(base, connection, request, self.prefix)
        if request.repeated:
            request.template = (self, template)
        return template


class WsgiExchange(Exchange):
    """One request answered by a WSGI app, up to the moment when the app runs."""

    handler: WsgiHandler
    #: The runner has the app's call.
    submitted: bool
    #: What runs, until the response is over: a call that pauses or waits has to be found again.
    _call: WsgiCall | None
    #: An app that waits holds a thread: it runs only when the beginning of its body is here, also
    #: if the client has to be asked for that.
    awaits_body = False

    def __init__(self, handler: WsgiHandler, connection: Connection, request: Request) -> None:
        super().__init__(connection, request)
        self.handler = handler
        self.submitted = False
        self._call = None

    def submit(self) -> None:
        """Hand the app's call to the runner."""
        raise NotImplementedError

    # --------------------------------------------------------- the body in (W25)

    def start_app(self) -> None:
        """Hand the request to the runner as soon as enough of its body is here.

        A client that waits for 100 Continue gets it when the app reads (S5); but at once if an app
        that waits holds a thread: a silent client must not hold one (W25).
        """
        if self.submitted or self.response_state >= DONE:
            return
        if self.request.length and self.body.state > WHOLE:
            if not self.request.expects_continue:
                return
            if self.body.held or self.awaits_body:
                send_continue(self)
                return
        self.submitted = True
        self.submit()

    def expect_body(self, limit: int, data: bytes | None = None) -> None:
        """Expect a body of at most `limit` bytes; `data` is all of it, if it is here."""
        super().expect_body(limit, data)
        if data is None:
            self.body = held_body(self.request, limit, self.handler.spool) or self.body

    def feed(self, data: bytes) -> bool:
        """Take a piece of body; the app runs at the latest when no more of it has room."""
        has_room = super().feed(data)
        if not has_room and not self.submitted:
            self.submitted = True
            self.submit()
            return self.body.waiting < HIGH_WATER
        return has_room

    def end_body(self, error: RequestError | None = None) -> None:
        """Note that the body is whole. If it breaks a rule, an app that does not run never does."""
        super().end_body(error)
        if error is None:
            self.start_app()
        elif not self.submitted:
            self.refuse(error)

    def input_ended(self) -> None:
        """Note that the client stopped in the middle of its body."""
        if self.submitted:
            self.wake()
        else:
            give_up(self)
            self.connection.abort_response()

    def disconnected(self) -> None:
        """Note that the client has left; an app that does not run yet never does."""
        super().disconnected()
        if not self.submitted and self.response_state < DONE:
            give_up(self)


class HintingSink(ResponseSink, Protocol):
    """A sink that can also send 103."""

    def early_hints(self, headers: TextHeaders) -> None:
        """Send 103 with these fields, if the head has not left (``wsgi.early_hints``, W42)."""


def new_call(exchange: WsgiExchange, sink: HintingSink) -> WsgiCall:
    """Make the app's call for `exchange`, whose response goes to `sink`."""
    connection, request, handler = exchange.connection, exchange.request, exchange.handler
    identity = connection.identity
    template = handler.template_of(connection, request)
    environ = template | (identity.environ or identity.make_environ(connection))
    environ["asgi.scope"] = lazy_scope(exchange)
    environ["wsgi.early_hints"] = sink.early_hints
    if request.length:
        body = exchange.body
        environ["wsgi.input"] = open_input(body, partial(_pull, exchange))
        if request.length == CHUNKED and body.state == WHOLE:
            environ["CONTENT_LENGTH"] = str(body.size)
    else:
        environ["wsgi.input"] = BytesIO()
    if not request.fast:
        complete_environ(environ, request)
    if handler.limit is None:
        return WsgiCall(handler.app, environ, sink, handler.leniency)
    return new_watched_call(handler.limit, handler.app, environ, sink, handler.leniency)


def note_refused(exchange: Exchange, error: BridgeError) -> bool:
    """Count a refused request for the log; return True, as the sinks do (S6)."""
    exchange.connection.state.refusals.note(exchange.connection.identity.client, error)
    return True


def hint_fields(headers: TextHeaders) -> list[Field]:
    """Return the fields of ``wsgi.early_hints``.

    Fields about the response itself are left out: Content-Length must not be in a 103
    (RFC 9110 §8.6), and the server's own fields come with the head.
    """
    fields = [TEXT_FIELDS[name, value] for name, value in headers]
    return [field for field in fields if field.role == NO_ROLE]


def _pull(exchange: WsgiExchange) -> bytes:
    """Wait for the next piece of the request's body; called in the app's thread or greenlet."""
    return exchange.handler.runner.wait(next_body(exchange))
