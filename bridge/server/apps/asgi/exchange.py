"""The ASGI handler: an exchange becomes ``app(scope, receive, send)`` (ASGI HTTP, S12-S14).

`send` handles the start and the body of a response itself; all other messages go through the
tables of `asgi/messages.py`. The head is held until the first piece of body is known, and leaves
with it in one write.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from bridge.asgi import messages as grammar
from bridge.asgi.disconnect import DisconnectNotice, is_disconnect
from bridge.caches import BoundedDict
from bridge.errors import ClientDisconnected, IllegalMessage, RequestError, RequestTimeout
from bridge.http.response_head import ResponseHead, raw_head
from bridge.log import logger
from bridge.server.apps.asgi.extensions import hint_fields, open_path, trailer_fields
from bridge.server.apps.asgi.response import (
    HELD,
    HELD_WITH_TRAILERS,
    OVER,
    PHASES,
    STREAMING,
    TRAILING,
    WAITING,
    AsgiStream,
)
from bridge.server.apps.asgi.time_limit import AsgiTimeLimit, is_over_time
from bridge.server.apps.calling import in_own_task, task_ended
from bridge.server.apps.scope import base_scope, complete_scope, fill_scope
from bridge.server.exchange import DONE, Connection, Exchange, dropped_because, next_body
from bridge.server.metrics.histogram import Meter
from bridge.server.request import Request
from bridge.server.request_body import WHOLE
from bridge.server.state import Place
from bridge.types import ASGIApp, Message, Scope

_BODIES: Final = (grammar.BODY, grammar.PATHSEND)

#: The most places that a handler keeps the beginning of a scope for.
MOST_PLACES: Final = 256


class AsgiHandler:
    """Answers requests with an ASGI 3 app. One per app."""

    #: The server's own limit holds.
    max_body_size: int | None = None

    def __init__(self, app: ASGIApp, lifespan_state: dict[str, Any], prefix: str = "") -> None:
        self.app = in_own_task(app)
        self.lifespan_state = lifespan_state
        #: Where the app is mounted, below the server's own root path.
        self.prefix = prefix
        #: Counts requests, where that is wanted.
        self.meter: Meter
        #: Ends those that take too long (R2); None: none are ended.
        self.limit: AsgiTimeLimit | None = None
        self._bases: BoundedDict[Place, Scope] = BoundedDict(MOST_PLACES)
        self._base_of = self._bases.get

    def use_meters(self, meter: Callable[[str], Meter], mount: str) -> None:
        """Count requests, which are those of `mount`."""
        self.meter = meter(mount)

    def use_limit(self, seconds: float, name: str) -> None:
        """End requests that take longer than `seconds`; `name` is the app's, for the log."""
        self.limit = AsgiTimeLimit(seconds, name, _give_up) if seconds else None

    def open(self, connection: Connection, request: Request) -> AsgiExchange:
        """Make an exchange for this request."""
        return AsgiExchange(self, connection, request)

    def new_scope(self, connection: Connection, request: Request) -> Scope:
        """Make a scope that is still to be completed."""
        known = request.template
        if known is not None and known[0] is self:
            return known[1].copy()
        place = connection.identity.place
        base = self._base_of(place)
        if base is None:
            base = base_scope(connection, self.prefix)
            self._bases.store(place, base)
        scope = fill_scope(base, request)
        if request.repeated:
            request.template = (self, scope.copy())
        return scope


class AsgiExchange(Exchange):
    """One request answered by an ASGI app."""

    handler: AsgiHandler
    #: Made when the app first waits in `receive`, or when its client has left.
    _notice: DisconnectNotice | None = None
    _phase: int
    #: The head that the app gave, until it leaves.
    _start: ResponseHead
    #: The body, if it comes in pieces.
    _stream: AsgiStream | None = None

    def __init__(self, handler: AsgiHandler, connection: Connection, request: Request) -> None:
        super().__init__(connection, request)
        self.handler = handler
        self._phase = WAITING
        self._body_given = False

    def start_app(self) -> None:
        """Call the app, in a task that often ends within this very call."""
        connection, handler, request = self.connection, self.handler, self.request
        scope = handler.new_scope(connection, request)
        complete_scope(scope, connection, request, handler.lifespan_state)
        try:
            task = connection.state.new_task(handler.app(scope, self.receive, self.send))
        except BaseException as error:  # not in a task: SystemExit, or no coroutine at all
            self.app_ended(error)
            return
        if task.done():
            if self.response_state < DONE or task.cancelled() or task.exception() is not None:
                task_ended(self, task)
        else:
            # The loop itself holds tasks by weak references only; and a server that stops waits for
            # what an app does after its response.
            self.task = task
            connection.state.tasks.add(task)
            task.add_done_callback(partial(task_ended, self))
            if handler.limit is not None:
                handler.limit.watch(self, task)

    def app_ended(self, error: BaseException | None) -> None:
        """End the exchange: the app has returned or raised (S14)."""
        has_left = self.connection.client_left
        if error is not None:
            known = has_left or dropped_because(self) or is_over_time(self)
            if not (known and is_disconnect(error)):
                logger.error("the app raised in %s", self.request.shown, exc_info=error)
        elif self.response_state >= DONE:
            return
        elif not (has_left or is_over_time(self)):
            logger.error(
                "the app returned %s in %s",
                "without a response" if self._phase == WAITING else "with its response unfinished",
                self.request.shown,
            )
        self._phase = OVER
        if has_left and error is None:
            self.abort()  # the app was told that its client has left
        else:
            self.refuse(RequestTimeout() if is_over_time(self) else 500)

    def end_body(self, error: RequestError | None = None) -> None:
        """Note that the body is whole. If it breaks a rule, say so; the app is told of the end."""
        if error is not None:
            self._phase = OVER
            self.refuse(error)
        super().end_body(error)

    # --------------------------------------------------------- receive

    async def receive(self) -> Message:
        """Return the next event, `http.request` or `http.disconnect` (ASGI)."""
        if not (self._body_given or self.response_state >= DONE):
            if not self.request.length:
                self._body_given = True
                return {"type": "http.request", "body": b"", "more_body": False}
            body = self.body
            if body.state == WHOLE and body.waiting:  # as a rule; the others wait in `next_body`
                self._body_given = True
                return {"type": "http.request", "body": body.take(), "more_body": False}
            try:
                data = await next_body(self)
            except (ClientDisconnected, RequestError):
                self._body_given = True
                return await self._disconnect_notice().disconnect()
            # The end may be here already, with the last piece.
            self._body_given = body.state == WHOLE and not body.waiting
            return {"type": "http.request", "body": data, "more_body": not self._body_given}
        while not (self.response_state >= DONE or self.connection.client_left):
            await self.wait()
        return await self._disconnect_notice().disconnect()

    async def wait(self) -> None:
        """Wait for the next `wake`, in `receive`."""
        self._disconnect_notice().note_receiver()
        await super().wait()

    def _disconnect_notice(self) -> DisconnectNotice:
        if self._notice is None:
            self._notice = DisconnectNotice()
        return self._notice

    # --------------------------------------------------------- send

    async def send(self, message: Message) -> None:
        """Take a message of the response (ASGI). Waits while the client is slow (S12)."""
        connection = self.connection
        if connection.client_left and await self._drop(message):
            return
        try:
            kind = message["type"]
        except (KeyError, TypeError):
            kind = grammar.message_type(message)
        phase = self._phase
        if kind == "http.response.start" and phase == WAITING:
            # Checked now, so that errors are raised in the app; held until the body.
            self._start = head = raw_head(message.get("status"), message.get("headers"))
            self.status = head.status_code
            self._phase = HELD_WITH_TRAILERS if message.get("trailers") else HELD
        elif kind == "http.response.body" and WAITING < phase < TRAILING:
            body = message.get("body", b"")
            if type(body) is not bytes:
                body = grammar.as_bytes(body)
            more = bool(message.get("more_body"))
            if phase == HELD and not more:
                self._phase = OVER
                connection.send_whole(self, self._start, body)
            else:
                stream = self._stream or self._open_stream()
                self._phase = stream.write(body, more=more)
                if self._phase == OVER:
                    self.end()
                if connection.output.paused:
                    try:
                        await connection.output.drained()
                    except ClientDisconnected:
                        pass  # this message was sent before it left; the next one is not
                elif more and stream.has_burst():
                    await stream.give_turn(self._disconnect_notice())
        else:
            try:
                await self._send_slow(kind, message)
            except ClientDisconnected:
                if not connection.output.closed:
                    raise
                await self._drop(message)  # it has left while a file was sent

    def _open_stream(self, size: int | None = None) -> AsgiStream:
        """Start a response whose body comes in pieces; `size` is its length if it is known."""
        trailers = self._phase == HELD_WITH_TRAILERS
        response = self.start_response(self._start, size=size, trailers=trailers)
        self._stream = AsgiStream(self.connection, response, trailers=trailers)
        return self._stream

    async def _send_slow(self, kind: str, message: Message) -> None:
        """Take a message that is rare, or not allowed now."""
        dropped = dropped_because(self)
        if not dropped and self.response_state >= DONE and is_over_time(self):
            dropped = "the request was answered when its time was over"
        if dropped:
            raise ClientDisconnected(dropped)
        phase = PHASES[self._phase]
        grammar.next_phase(grammar.HTTP, phase, message)
        if kind == grammar.EARLY_HINT:
            hints = self.open_response().early_hints(hint_fields(message))
            if hints:
                self.connection.write(hints)
        elif kind == grammar.TRAILERS:
            last = not message.get("more_trailers")
            trailers = self.open_response().trailers(trailer_fields(message), last=last)
            if trailers:
                self.connection.write(trailers)
            if last:
                self._phase = OVER
                self.end()
        elif kind == grammar.PATHSEND:
            if not self.connection.state.config.pathsend:
                raise IllegalMessage(f"{kind!r} is not offered; --pathsend offers it")
            if self._phase >= STREAMING:
                raise grammar.out_of_order(grammar.HTTP, phase, kind)
            file, size = open_path(message)
            stream = self._open_stream(size)
            self._phase = STREAMING
            self._phase = await stream.write_file(file, size)
            if self._phase == OVER:
                self.end()

    async def _drop(self, message: Message) -> bool:
        """Return whether to drop a message, as the client has left; False: write it all the same.

        Raises `ClientDisconnected` (ASGI, "Disconnected Client - send exception"), but not before
        a task that waits in `receive` has heard of it. And an app that was not told sends the rest
        of its response in vain, if that is one piece at most and the end: it might have done so a
        moment before, and goes on as then (background tasks).
        """
        kind = grammar.message_type(message)
        notice = self._disconnect_notice()
        if await notice.drops_message():
            return True
        if not notice.times_told:
            last = not message.get("more_body")
            if not self.connection.output.closed:
                # A client that is gone answers bytes with a reset; an empty piece shows nothing.
                if last or kind != grammar.BODY or message.get("body"):
                    return False
            elif kind == grammar.START and self._phase == WAITING:
                self._start = raw_head(message.get("status"), message.get("headers"))
                self._phase = HELD
                return True
            elif kind in _BODIES and (
                self._phase == HELD or (last and HELD < self._phase <= STREAMING)
            ):
                self._phase = STREAMING
                if last:
                    self._phase = OVER
                    self.abort()
                return True
        raise ClientDisconnected("the client is gone; nothing more can be sent")


def _give_up(exchange: AsgiExchange, error: RequestTimeout) -> None:
    """Answer without the app, or cut: it does not end, though it was cancelled (R2)."""
    exchange._phase = OVER
    exchange.refuse(error)
