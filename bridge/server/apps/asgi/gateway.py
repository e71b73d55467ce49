"""The handler of a gateway: what `gateway.front.http` does, in fewer steps (rules L9, L10).

A request that is whole is encoded as it is, without a scope, and a response that its worker sends
whole goes to the connection: no task, no ASGI messages. All else goes on as under any ASGI host.
"""

from __future__ import annotations

from typing import Any

from bridge.caches import BoundedDict
from bridge.errors import BridgeError, IllegalMessage, LayerUnavailable
from bridge.gateway.front.asked import Asked
from bridge.gateway.front.consumers import AppFailed
from bridge.gateway.front.gateway import Gateway
from bridge.gateway.protocol import OWN
from bridge.gateway.session import Session, SessionLost
from bridge.http.response_head import raw_head
from bridge.log import logger
from bridge.server.apps.asgi.exchange import MOST_PLACES, AsgiExchange, AsgiHandler
from bridge.server.apps.calling import run_app
from bridge.server.apps.scope import base_scope, complete_scope, http_scope
from bridge.server.exchange import Connection
from bridge.server.request import Request
from bridge.server.request_body import WHOLE
from bridge.server.state import Place
from bridge.types import Message


class GatewayHandler(AsgiHandler):
    """Has requests answered by workers."""

    def __init__(self, app: Gateway, lifespan_state: dict[str, Any], prefix: str = "") -> None:
        super().__init__(app, lifespan_state, prefix)
        self.gateway = app
        #: What is asked now, for which exchange.
        self.questions: dict[GatewayExchange, _Question] = {}
        self._shared: BoundedDict[Place, bytes] = BoundedDict(MOST_PLACES)
        self._own = app.requests.writer.own
        #: Marks templates that are encoded heads for this place; those of `self` are scopes.
        self._mark = object()

    def open(self, connection: Connection, request: Request) -> GatewayExchange:
        """Make an exchange for this request."""
        return GatewayExchange(self, connection, request)

    def encode(self, connection: Connection, request: Request) -> bytes:
        """Encode the head of a request."""
        known = request.template
        if known is not None and known[0] is self._mark:
            encoded: bytes = known[1]["encoded"]
            return encoded
        identity = connection.identity
        if identity.needs_full_scope or not request.http11 or request.resolved is not None:
            return self.gateway.begin(http_scope(connection, request, {}, self.prefix))
        shared = self._shared.get(identity.place)
        if shared is None:
            shared = self._make_shared(connection, request)
        own = self._own(
            shared,
            (
                request.method,
                request.path,
                request.raw_path,
                request.query,
                request.headers,
                identity.client,
            ),
        )
        if request.repeated:
            request.template = (self._mark, {"encoded": own})
        return own

    def _make_shared(self, connection: Connection, request: Request) -> bytes:
        """Encode what all plain requests to one place have in common."""
        scope = base_scope(connection, self.prefix)
        complete_scope(scope, connection, request, {})
        for name in (*OWN, "state"):
            del scope[name]
        shared = self.gateway.shared(scope)
        self._shared.store(connection.identity.place, shared)
        return shared


class GatewayExchange(AsgiExchange):
    """One request answered by a worker."""

    handler: GatewayHandler

    def start_app(self) -> None:
        """Ask for a request that is whole; a task asks for all others."""
        handler, request, body = self.handler, self.request, b""
        if not handler.gateway.is_open:
            super().start_app()
            return
        if request.length:
            if request.expects_continue or self.body.state != WHOLE:
                super().start_app()
                return
            body = self.body.take()
        self._body_given = True
        try:
            begin = handler.encode(self.connection, request)
            handler.questions[self] = _Question(self, begin, body)
        except LayerUnavailable as error:
            self.refuse(error)

    def app_ended(self, error: BaseException | None) -> None:
        """End the exchange; a response that a worker cannot end any more is cut, and told of."""
        if isinstance(error, IllegalMessage):
            _refuse(self, _malformed("its worker", error))
            return
        if not isinstance(error, (AppFailed, LayerUnavailable, SessionLost)):
            super().app_ended(error)
            return
        if isinstance(error, LayerUnavailable):  # the gateway has logged the others
            logger.error("%s: %s", self.request.shown, error)
        self.refuse(error)

    def disconnected(self) -> None:
        """Withdraw the request: its client has left."""
        question = self.handler.questions.pop(self, None)
        if question is not None:
            question.leave()
            self.abort()
        super().disconnected()


class _Question(Asked):
    """What a worker is asked for an exchange."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: GatewayExchange, begin: bytes, body: bytes) -> None:
        gateway = exchange.handler.gateway
        super().__init__(gateway.requests, gateway.bus, begin, body)
        self._exchange = exchange

    def answered(self, status: Any, headers: tuple[Any, ...], body: bytes) -> None:
        """Send the response."""
        exchange = self._exchange
        del exchange.handler.questions[exchange]
        try:
            head = raw_head(status, list(headers))
        except IllegalMessage as error:
            _refuse(exchange, _malformed(self.peer, error))
        else:
            exchange.connection.send_whole(exchange, head, body)

    def begun(self, session: Session, events: list[Message]) -> None:
        """Have a task answer, as the worker goes on."""
        exchange = self._exchange
        connection, handler = exchange.connection, exchange.handler
        del handler.questions[exchange]
        scope = handler.new_scope(connection, exchange.request)
        complete_scope(scope, connection, exchange.request, handler.lifespan_state)
        answering = handler.gateway.take_over(
            *(session, events, scope, exchange.receive, exchange.send)
        )
        run_app(exchange, answering)

    def failed(self, error: BridgeError) -> None:
        """Send the response for `error`."""
        del self._exchange.handler.questions[self._exchange]
        _refuse(self._exchange, error)


def _malformed(worker: str, error: IllegalMessage) -> SessionLost:
    return SessionLost(f"{worker} has sent a malformed response: {error}")


def _refuse(exchange: GatewayExchange, error: BridgeError) -> None:
    if error.status != 503:
        logger.error("%s: %s", exchange.request.shown, error)
    exchange.refuse(error)
