"""One request and its response, whoever answers: the body in, the framing out.

A handler makes one exchange for each request; what is common to ASGI and WSGI apps stands here.
The way of a response is always the same: lines of the head are collected and held, the framing
is settled when the first bytes of body or the end are known, and then it leaves with them, in one
write (RFC 9112 §6, S10).

Times and threads: everything here runs on the loop's thread unless a method says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bridge.errors import ClientDisconnected, RequestError
from bridge.http.error_response import error_response
from bridge.http.response_head import ResponseHead
from bridge.http.status import has_no_body
from bridge.limits import HIGH_WATER, WORTH_NO_COPY
from bridge.log import logger
from bridge.loops.wait_queue import WaitQueue
from bridge.server.request import Request
from bridge.server.state import DRAIN_LIMIT, ServerState
from bridge.types import RawHeaders

# How the end of a body is told (RFC 9112 §6.3).
UNFRAMED = 0
BY_LENGTH = 1
BY_CHUNKS = 2
BY_CLOSE = 3
NO_BODY = 4


class Output(Protocol):
    """What an exchange knows of the output side of its connection."""

    #: The transport is closed: nothing reaches the client any more.
    closed: bool

    def write_parts(self, parts: Sequence[bytes]) -> None:
        """Put several pieces into the transport, to leave behind one another."""


class Connection(Protocol):
    """What an exchange knows of the connection it came by."""

    state: ServerState
    #: The client has left, as far as can be told: the transport is closed, or the client sends no
    #: more, and takes nothing either.
    client_left: bool
    client: tuple[str, int] | None

    @property
    def output(self) -> Output:
        """Where the response goes."""

    def write(self, data: bytes) -> None:
        """Put bytes into the transport."""

    def resume_body(self) -> None:
        """The exchange has room for more of the body."""

    def finished(self, exchange: Exchange) -> None:
        """The response of `exchange` has been written."""

    def cut(self) -> None:
        """Break the connection off."""


class Exchange:
    """One request on one connection, and its response.

    Attributes that a plain exchange does not need are class attributes until they are set. Those
    that it does need are set in `__init__` and have no default in the class: CPython reads and
    writes an attribute several times faster where no class attribute has its name.
    """

    #: Tasks of the app that wait in `receive`; made for the first.
    _receivers: WaitQueue | None

    # The body in.
    complete: bool
    """The whole body is here (or there is none)."""
    body_size = 0
    """Bytes of body seen so far."""
    body_limit = 0
    """The most bytes of body that are taken; 0: any."""
    body_error: RequestError | None = None
    abandoned = ""
    """Why nothing more of the response is sent, though the app has more; else empty."""
    continued = False
    """100 Continue was sent."""
    opening = False
    """It asks for a WebSocket: its client has to wait for the answer before it sends more."""

    # For the access log.
    started = 0.0
    """When the request came, by `time.perf_counter`; only where the access log wants it."""

    # The response out.
    status: int
    over: bool
    """The response has left, or never will; the connection may take the next request."""
    leaving = False
    """The last of the response is on its way: for `limit_requests` it is no longer answered."""
    keep_alive_fast: bool
    """A response with its length needs no second look: the whole request is here, and what follows
    it comes on the same connection. Where it is set, `complete` is too, and `close` is not."""
    close: bool
    """The connection cannot be used after this response."""
    length: int | None
    """The Content-Length that the app declared, in bytes."""
    framing: int
    sent: int
    """Bytes of body that left."""
    head_bytes: bytes
    """The head on the wire, as far as it is settled."""
    own_date = False
    own_server = False

    def __init__(self, connection: Connection, head: Request) -> None:
        self.connection = connection
        self.head = head
        self.head_bytes = b""
        self.keep_alive_fast = head.keep_alive_fast
        self.complete = True
        self.over = self.close = False
        self.length = self._receivers = None
        self.status = self.framing = self.sent = 0

    def answer(self) -> None:
        """Have the app answer. The head is here, and as much of the body as came with it."""
        raise NotImplementedError

    # --------------------------------------------------------- the body in

    def most_body(self) -> int:
        """The most bytes of body that are taken; 0: any."""
        return self.connection.state.config.limit_body_size

    def expect_body(self) -> None:
        """A body follows: make room for it, before `answer`."""
        self.complete = self.keep_alive_fast = False
        self.chunks: list[bytes] = []
        self.waiting = 0

    def has_body(self, data: bytes) -> None:
        """The body came with the head, whole."""
        self.chunks = [data]
        self.body_size = self.waiting = len(data)

    def feed(self, data: bytes) -> bool:
        """Take a piece of body; False asks the connection to pause reading."""
        if self.over:
            return True
        self.chunks.append(data)
        self.body_size += len(data)
        self.waiting += len(data)
        self.wake()
        return self.waiting < HIGH_WATER

    def end_body(self) -> None:
        """The body is whole."""
        self.complete = True
        self.wake()

    def wake(self) -> None:
        """Something that a waiting `receive` wants to know has happened."""
        if self._receivers is not None:
            self._receivers.wake()

    async def wait(self) -> None:
        """Wait for the next `wake`."""
        receivers = self._receivers
        if receivers is None:
            receivers = self._receivers = WaitQueue()
        await receivers.wait()

    def take_body(self) -> bytes:
        """All of the body that waits here; makes room for more."""
        chunks = self.chunks
        if not chunks:
            return b""
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        if self.waiting >= HIGH_WATER:
            self.connection.resume_body()
        self.waiting = 0
        return data

    async def next_body(self) -> bytes:
        """The next piece of body, ``b""`` at its end.

        Raises `ClientDisconnected` where the client left before the end (W23), or where the
        response is over: what then comes is thrown away (W26).
        """
        if self.complete and not self.head.length:
            return b""
        while True:
            if self.chunks:
                return self.take_body()
            if self.complete:
                return b""
            if self.body_error is not None:
                raise self.body_error
            if self.over:
                raise ClientDisconnected("the response is over, and the rest of the body dropped")
            if self.connection.client_left:
                raise ClientDisconnected(
                    f"the client left after {self.body_size} bytes of the request body"
                )
            self.ask_for_body()
            await self.wait()

    def ask_for_body(self) -> None:
        """Send 100 Continue where the client waits for it (S5)."""
        if self.head.expects_continue and not self.continued and not self.body_size:
            self.continued = True
            if self.framing == UNFRAMED:
                self.connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def disconnected(self) -> None:
        """The connection is closed, or the client has left it, as far as we can tell."""
        self.wake()

    def input_ended(self) -> None:
        """The client stopped sending in the middle of its body."""
        self.wake()

    def spoil(self, error: RequestError) -> None:
        """The body breaks a rule, and never becomes whole: `next_body` raises `error`."""
        self.body_error = error
        self.abandoned = f"the request was refused: {error}"
        self.wake()

    def on_writable(self) -> None:
        """The client has caught up with what was written."""

    def will_close(self) -> None:
        """The connection ends with this response."""
        self.close = True
        self.keep_alive_fast = False

    # --------------------------------------------------------- the head out

    def begin(self, head: ResponseHead) -> None:
        """Take the head that the app gave; it leaves with the body, or its first piece."""
        self.status = head.status_code
        self.head_bytes = head.encoded
        self.length = head.length
        if not head.fast:
            self.own_date, self.own_server = head.has_date, head.has_server
            if head.close:
                self.will_close()

    def frame(self, size: int | None) -> None:
        """Settle how the end of the body is told; `size` is its length where it is known.

        Completes `head_bytes`, blank line included.
        """
        if self.status == 204 and self.length is not None:
            self.drop_length()  # RFC 9110 §8.6: a client could wait for it
        head = self.head
        lines = [self.head_bytes]
        self.settle_connection()
        if has_no_body(self.status) or head.method == "HEAD":
            self.framing = NO_BODY
            if self.length is None and size and head.method == "HEAD":
                lines.append(b"content-length: %d\r\n" % size)
        elif self.length is not None:
            self.framing = BY_LENGTH
        elif size is not None:
            self.framing = BY_LENGTH
            self.length = size
            lines.append(b"content-length: %d\r\n" % size)
        elif head.http11:
            self.framing = BY_CHUNKS
            lines.append(b"transfer-encoding: chunked\r\n")
        else:
            self.framing = BY_CLOSE
            self.will_close()
        if self.close:
            lines.append(b"connection: close\r\n")
        elif not head.http11:
            lines.append(b"connection: keep-alive\r\n")
        state = self.connection.state
        if not self.own_date:
            lines.append(state.date_line)
        if not self.own_server:
            lines.append(state.server_line)
        lines.append(b"\r\n")
        self.head_bytes = b"".join(lines)

    def drop_length(self) -> None:
        """Take the app's Content-Length out of the head: the end is told in another way."""
        self.length = None
        lines = self.head_bytes.split(b"\r\n")
        self.head_bytes = b"\r\n".join(
            [line for line in lines if not line[:15].lower().startswith(b"content-length:")]
        )

    def settle_connection(self) -> None:
        """Whether the connection can go on after this response."""
        if self.head.close or self.connection.state.retiring or self.connection.client_left:
            self.will_close()
        elif not self.complete and (
            (self.head.expects_continue and not self.continued and not self.body_size)
            or self.head.length - self.body_size > DRAIN_LIMIT
        ):
            self.will_close()  # more is to come than we care to read and throw away

    @property
    def client(self) -> tuple[str, int] | None:
        """Who a trusted proxy says that the client is."""
        resolved = self.head.resolved
        return None if resolved is None else resolved.client

    @property
    def response_headers(self) -> RawHeaders:
        """The fields of the response as they left."""
        lines = self.head_bytes.split(b"\r\n")[1:]
        return [
            (name, value) for name, _, value in (line.partition(b": ") for line in lines) if name
        ]

    # --------------------------------------------------------- the body out

    def parts(self, data: bytes) -> list[bytes]:
        """A piece of body in its framing, cut at the declared length: to be sent in this order."""
        framing = self.framing
        if framing == BY_CHUNKS:
            self.sent += len(data)
            return [b"%x\r\n" % len(data), data, b"\r\n"] if data else []
        if framing == NO_BODY:
            return []
        if framing == BY_LENGTH and self.length is not None:
            room = self.length - self.sent
            if len(data) > room:
                self.overrun(len(data) - room)
                data = data[:room]
        self.sent += len(data)
        return [data] if data else []

    def overrun(self, excess: int) -> None:
        """The app sent more than it declared."""
        logger.error(
            "the response to %s is longer than its Content-Length of %s bytes (by %s or more); "
            "it was cut there, and the connection is closed",
            self.head.shown,
            self.length,
            excess,
        )
        self.abandoned = f"the response is longer than its Content-Length of {self.length} bytes"
        self.will_close()

    def last_piece(self) -> bytes:
        """What ends the body in its framing; where the body is short, the connection is closed."""
        if self.framing == BY_CHUNKS:
            return b"0\r\n\r\n"
        if self.framing == BY_LENGTH and self.length is not None and self.sent < self.length:
            logger.error(
                "the response to %s has %s bytes, and its Content-Length is %s; "
                "the connection is closed",
                self.head.shown,
                self.sent,
                self.length,
            )
            self.will_close()
        return b""

    def send_whole(self, head: ResponseHead, body: bytes) -> None:
        """Write all of a response at once; on the loop's thread."""
        connection = self.connection
        state = connection.state
        size = len(body)
        if (
            self.keep_alive_fast
            and head.length == size
            and head.fast
            and not state.retiring
            and not connection.client_left
        ):
            # The common case: what `whole` would come to, without asking.
            self.status = head.status_code
            self.framing = BY_LENGTH
            self.sent = size
            self.head_bytes = data = head.encoded + state.default_end
            if size < WORTH_NO_COPY:
                connection.write(data + body)
            else:
                connection.output.write_parts((data, body))
        else:
            connection.write(self.whole(head, body))

    def whole(self, head: ResponseHead, body: bytes) -> bytes:
        """All of a response, for one write."""
        self.begin(head)
        return self.rest(body)

    def rest(self, body: bytes) -> bytes:
        """The rest of the head and all of the body."""
        self.frame(len(body))
        return b"".join((self.head_bytes, *self.parts(body), self.last_piece()))

    def send_parts(self, parts: list[bytes]) -> None:
        """Write these behind one another, large ones without a copy; on the loop's thread."""
        if len(parts) == 1:
            self.connection.write(parts[0])
        elif sum(map(len, parts)) < WORTH_NO_COPY:
            self.connection.write(b"".join(parts))
        else:
            self.connection.output.write_parts(parts)

    # --------------------------------------------------------- the end

    def refuse(self, error: BaseException | int) -> None:
        """Answer for the app if nothing has left yet, else cut (`http.error_response`)."""
        if self.over:
            return
        if self.framing != UNFRAMED or self.connection.output.closed:
            self.cut()
            return
        self.own_date = self.own_server = False
        self.connection.write(
            self.whole(*error_response(error, is_head=self.head.method == "HEAD"))
        )
        self.end()

    def cut(self) -> None:
        """Break the connection off, so that the client can tell that the response is not whole."""
        if not self.over:
            self.will_close()
            self.over = True
            log = self.connection.state.access_log
            try:
                if log is not None and self.status:
                    log(self)
            finally:
                self.connection.cut()
                self.wake()

    def end(self) -> None:
        """The response has been written."""
        self.over = True
        log = self.connection.state.access_log
        try:
            if log is not None:
                log(self)
        finally:
            self.connection.finished(self)
            if self._receivers is not None:
                self._receivers.wake()
