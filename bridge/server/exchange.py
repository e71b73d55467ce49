"""One request and its response, whatever the protocol and whatever the app.

A handler makes one exchange for each request. What ASGI and WSGI apps share stands here: the queue
of the request's body, how far request and response have come, and the record for the access log.
How a response looks on the wire is the protocol's affair: its connection makes a `ResponseEncoder`
that turns a head and pieces of body into bytes (`http1/response.py`). A response that is whole and
needs nothing unusual goes straight to `Connection.send_whole`, and there is no such object.

Everything here runs in the loop's thread unless it says otherwise.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import Any, Final, Protocol

from bridge.errors import BridgeError, ClientDisconnected, RequestError
from bridge.http.error_response import error_response
from bridge.http.response_head import ResponseHead, encoded_fields
from bridge.http.response_sink import ResponseEncoder
from bridge.limits import HIGH_WATER
from bridge.loops.wait_queue import WaitQueue
from bridge.server.logs.served import BY_THE_APP, Served
from bridge.server.metrics.histogram import read_clock
from bridge.server.request import Request
from bridge.server.request_body import EMPTY_BODY, PARTIAL, WHOLE, RequestBody, WholeBody
from bridge.server.state import FINISHING as FINISHING
from bridge.server.state import ServerState
from bridge.server.transport.identity import Identity
from bridge.server.transport.output import Output
from bridge.types import RawHeaders

# How far a response has come (`Exchange.response_state`); from DONE on the exchange is over.
UNSENT: Final = 0
STARTED: Final = 1
# Then FINISHING (2): its last bytes are on their way.
DONE: Final = 3
#: Cut, or never sent because the client is gone.
ABORTED: Final = 4
#: Head and size of a response that was not sent whole, or not yet.
_NOTHING: Final = (b"", 0)


class Responder(Protocol):
    """How responses are written in one protocol."""

    def fast_head(
        self, connection: Connection, exchange: Exchange, head: ResponseHead, size: int, /
    ) -> bytes | None:
        """The head of a whole response that needs no `ResponseEncoder`, for a thread; else None.

        The body follows it as it is.
        """

    def new_response(self, connection: Connection, request: Request, /) -> ResponseEncoder:
        """The response to `request`."""

    def keeps_alive(self, connection: Connection, exchange: Exchange, /) -> bool:
        """Whether the connection can go on after the response that starts now."""


class Input(Protocol):
    """What an exchange knows of the input side of its connection."""

    def resume(self) -> None:
        """Have more of the body come: there is room for it."""


class Connection(Protocol):
    """What an exchange knows of the connection that it came by."""

    state: ServerState
    output: Output
    #: The client has left, as far as can be told: the transport is closed, or the client sends no
    #: more, and takes nothing either.
    client_left: bool
    #: A thread that ends the running exchange has to wake the loop for it.
    notify_on_end: bool

    #: Who is at both ends.
    identity: Identity

    @property
    def responder(self) -> Responder:
        """How responses are written in the protocol of the connection."""

    @property
    def input(self) -> Input:
        """Where the request's body comes from."""

    def send_whole(self, exchange: Exchange, head: ResponseHead, body: bytes, /) -> None:
        """Write a whole response, and end its exchange; a method, for it is the fast path."""

    def write(self, data: bytes, /) -> None:
        """Put bytes into the transport."""

    def exchange_done(self, exchange: Exchange) -> None:
        """The response of `exchange` has been written."""

    def end_from_thread(self, exchange: Exchange) -> None:
        """Do what `exchange_done` does, if a thread has written the response; it may be done."""

    def abort_response(self) -> None:
        """End the connection so that the client can tell that its response is not whole."""

    def detach(self, protocol: asyncio.Protocol) -> bytes:
        """Leave the transport to another protocol; returns the bytes that came for it already."""


class Handler(Protocol):
    """What answers requests: made once per app, at start."""

    def open(self, connection: Connection, request: Request) -> Exchange:
        """An exchange for this request. Raises `RequestError` if it is refused."""


class Exchange:
    """One request on one connection, and its response.

    Attributes that a plain exchange does not need are class attributes until they are set. Those
    that it does need are set in `__init__` and have no default in the class: CPython reads and
    writes an attribute several times faster if no class attribute has its name.
    """

    #: Whether `limit_requests` counts exchanges of this kind.
    COUNTED = True
    #: The handler that made it; set by each kind of exchange.
    handler: Any
    #: The app's call, if it has a task of its own that did not end at once.
    task: asyncio.Task[None] | None = None
    #: `UNSENT`, `STARTED`, `FINISHING`, `DONE` or `ABORTED`; a thread that answers may set it.
    response_state: int
    #: A response whose length is known needs no second look: the whole request is here, and what
    #: follows it comes on the same connection.
    keep_alive_fast: bool
    #: The connection may be used after this response, as far as the exchange can tell.
    keep_alive = True
    body: RequestBody = EMPTY_BODY
    #: The response as bytes; None until it is needed, and for one that is sent whole.
    response: ResponseEncoder | None = None

    # For the access log and the figures.
    status: int
    #: Who answers, if there is an old app and a new one.
    served: Served = BY_THE_APP
    #: When the request came, by `time.perf_counter`; only if somebody wants it: `state.timed`.
    started: float
    #: The request's own context, if its line of the log is made in another.
    log_context: Context | None = None
    #: Of a response that was sent whole: its head, and the bytes of its body.
    _whole: tuple[bytes, int]

    #: Tasks that wait for a `wake`; made for the first.
    _receivers: WaitQueue | None

    def __init__(self, connection: Connection, request: Request) -> None:
        self.connection = connection
        self.request = request
        self.keep_alive_fast = request.keep_alive_fast
        self.response_state = UNSENT
        self.status = 0
        self._whole = _NOTHING
        self._receivers = None
        if connection.state.timed:
            self.started = read_clock()

    # --------------------------------------------------------- called by the connection

    def start_app(self) -> None:
        """Have the app answer. The head is here, and as much of the body as came with it."""
        raise NotImplementedError

    def expect_body(self, limit: int, data: bytes | None = None) -> None:
        """A body of at most `limit` bytes comes, before `start_app`; `data`: all of it is here."""
        if data is None:
            self.keep_alive_fast = False
            self.body = RequestBody(PARTIAL, limit, awaits_continue=self.request.expects_continue)
        else:
            self.body = WholeBody(data, limit)

    def feed(self, data: bytes) -> bool:
        """Take a piece of body; False asks the connection to pause reading."""
        if self.response_state >= DONE:
            return True
        body = self.body
        if body.awaits_continue:
            body.stop_awaiting_continue()
        has_room = body.feed(data)
        self.wake()
        return has_room

    def end_body(self, error: RequestError | None = None) -> None:
        """The body is whole; or it breaks a rule and never becomes whole: `error`."""
        self.body.end(error)
        self.wake()

    def input_ended(self) -> None:
        """The client stopped sending in the middle of its body."""
        self.wake()

    def disconnected(self) -> None:
        """The connection is closed, or the client has left it, as far as we can tell."""
        self.wake()

    def on_writable(self) -> None:
        """The client has caught up with what was written."""

    # --------------------------------------------------------- waiting

    def wake(self) -> None:
        """Something that a waiting task may want to know has happened."""
        if self._receivers is not None:
            self._receivers.wake()

    async def wait(self) -> None:
        """Wait for the next `wake`."""
        receivers = self._receivers
        if receivers is None:
            receivers = self._receivers = WaitQueue()
        await receivers.wait()

    # --------------------------------------------------------- the response

    def disable_keep_alive(self) -> None:
        """The connection ends with this response."""
        self.keep_alive = self.keep_alive_fast = False

    def open_response(self) -> ResponseEncoder:
        """The response, made when it is first needed."""
        response = self.response
        if response is None:
            self.keep_alive_fast = False  # there is more to know now than the fast path looks at
            response = self.response = self.connection.responder.new_response(
                self.connection, self.request
            )
        return response

    def start_response(
        self, head: ResponseHead, *, size: int | None = None, trailers: bool = False
    ) -> ResponseEncoder:
        """Give the head to the response, which is ready for the body then."""
        self.status = head.status_code
        response = self.open_response()
        keep_alive = self.keep_alive and self.connection.responder.keeps_alive(
            self.connection, self
        )
        more = b""
        if self.served is not BY_THE_APP:
            head, more = self.served.applied(head)
        response.start(head, keep_alive=keep_alive, size=size, trailers=trailers, more=more)
        if self.response_state < STARTED:
            self.response_state = STARTED
        return response

    def refuse(self, error: BridgeError | int) -> None:
        """Answer for the app if nothing has left yet, else abort (`http/error_response.py`)."""
        if self.response_state >= DONE:
            return
        if self.response_state != UNSENT or self.connection.output.closed:
            self.abort()
        else:
            is_head = self.request.method == "HEAD"
            head, body = error_response(error, is_head=is_head)
            self.connection.send_whole(self, head, body)

    # --------------------------------------------------------- the end

    def abort(self) -> None:
        """Break the connection off, so that the client can tell that the response is not whole."""
        if self.response_state < DONE:
            self.disable_keep_alive()
            give_up(self)
            recording = self.connection.state.recording
            try:
                if recording is not None and recording.log is not None and self.status:
                    recording.log(self)
            finally:
                self.connection.abort_response()
                self.wake()

    def end(self, status: int = 0, size: int = 0, head: bytes | None = None) -> None:
        """The response has been written.

        One that was sent whole has no `response`: then its `status`, the `size` of its body and its
        `head` on the wire are given.
        """
        if head is not None:
            self.status = status
            self._whole = head, size
        elif self.response is not None and not self.response.keep_alive:
            self.disable_keep_alive()
        self.response_state = DONE
        connection = self.connection
        recording = connection.state.recording
        try:
            if recording is not None:
                if recording.figures is not None:
                    self.handler.meter.record(self.started, self.status)
                log = recording.log
                if log is None:
                    pass
                elif self.log_context is None:
                    log(self)
                else:
                    self.log_context.run(log, self)
        finally:
            connection.exchange_done(self)
            if self._receivers is not None:
                self._receivers.wake()

    # --------------------------------------------------------- for the access log

    @property
    def sent(self) -> int:
        """Bytes of body that left."""
        return self._whole[1] if self.response is None else self.response.sent

    @property
    def response_headers(self) -> RawHeaders:
        """The fields of the response as they left."""
        return encoded_fields(self._whole[0]) if self.response is None else self.response.fields


class Unfinished(Protocol):
    """An exchange, as far as giving it up needs it."""

    COUNTED: bool
    connection: Connection
    handler: Any
    response_state: int
    started: float


def give_up(exchange: Unfinished) -> None:
    """Note that there is no whole response, and that none will follow."""
    exchange.response_state = ABORTED
    if exchange.connection.state.figures is not None and exchange.COUNTED:
        exchange.handler.meter.record(exchange.started, 0)


def skip_fast_path(exchange: Exchange) -> None:
    """Have the connection decide at the end of this response whether it goes on."""
    exchange.keep_alive_fast = False


def max_body_size(exchange: Exchange) -> int:
    """The most bytes of body that are taken for its app (W22); 0: any."""
    own = exchange.handler.max_body_size
    return exchange.connection.state.config.limit_body_size if own is None else int(own)


def dropped_because(exchange: Exchange) -> str:
    """Why what the app sends is dropped, though its client is there; else empty."""
    error, response = exchange.body.error, exchange.response
    if error is not None:
        return f"the request was refused: {error}"
    return "" if response is None else response.dropped_because


async def next_body(exchange: Exchange) -> bytes:
    """The next piece of the request's body, ``b""`` at its end.

    Raises `ClientDisconnected` if the client left before the end (W23), or if the response is over:
    what then comes is thrown away (W26). Raises `RequestError` if the body breaks a rule.
    """
    body, connection = exchange.body, exchange.connection
    while True:
        if body.waiting:
            was_full = body.waiting >= HIGH_WATER
            data = body.take()
            if was_full:
                connection.input.resume()
            return data
        if body.state <= WHOLE:
            return b""
        if body.error is not None:
            raise body.error
        if exchange.response_state >= DONE:
            raise ClientDisconnected("the response is over, and the rest of the body dropped")
        if connection.client_left:
            raise ClientDisconnected(f"the client left after {body.size} bytes of the request body")
        send_continue(exchange)
        await exchange.wait()


def send_continue(exchange: Exchange) -> None:
    """Send 100 Continue if the client waits for it (S5)."""
    if exchange.body.awaits_continue:
        exchange.body.stop_awaiting_continue()
        data = exchange.open_response().continue_()
        if data:
            exchange.connection.write(data)
