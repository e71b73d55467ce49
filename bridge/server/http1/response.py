"""A response as HTTP/1.1 bytes: its head, how the end of its body is told, what goes before it.

`Response` is given a head and pieces, and gives bytes; it knows no socket and no loop (Sans-I/O).
A response is always sent in the same order: the head is settled with the start, leaves with the
first bytes of body or with the end, in one write with them, and the framing that the head announces
holds until the end (RFC 9112 §6, S10).

`fast_head` is the fast path: a whole response to a request that asks for nothing unusual.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter
from typing import Final, Protocol

from bridge.http.response_fields import Field
from bridge.http.response_head import ResponseHead, encoded_fields
from bridge.http.status import has_no_body
from bridge.limits import MIN_UNCOPIED
from bridge.log import logger
from bridge.server.exchange import Connection, Exchange
from bridge.server.logs.served import BY_THE_APP, Served
from bridge.server.request import Request
from bridge.server.request_body import WHOLE
from bridge.server.state import DRAIN_LIMIT
from bridge.server.transport.output import gathered
from bridge.types import RawHeaders

# How the end of a body is told (RFC 9112 §6.3).
NOTHING: Final = 0
BY_LENGTH: Final = 1
BY_CHUNKS: Final = 2
BY_CLOSE: Final = 3

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


def framing(method: str, status: int, length: int | None, *, http11: bool) -> int:
    """How the end of a response's body is told (the steps of RFC 9112 §6.3).

    `length` is that of the body in bytes, if it is known when the head leaves. A CONNECT never gets
    here (step 2), and what steps 3 and 5 forbid a sender we never send.
    """
    if method == "HEAD" or has_no_body(status):
        return NOTHING  # step 1
    if length is not None:
        return BY_LENGTH  # step 6
    if http11:
        return BY_CHUNKS  # step 4
    return BY_CLOSE  # step 8: HTTP/1.0 knows no chunks


class DefaultFields(Protocol):
    """The fields that the server adds to a response, as lines; empty if it does not."""

    date_line: bytes
    server_line: bytes


class Response:
    """The response to one request, from its head to the end of its body."""

    __slots__ = (
        "_defaults",
        "_framing",
        "_head",
        "_head_pending",
        "_length",
        "_request",
        "dropped_because",
        "keep_alive",
        "sent",
        "started_at",
    )

    def __init__(self, request: Request, defaults: DefaultFields) -> None:
        self._request = request
        self._defaults = defaults
        #: The head on the wire, blank line included; empty before the start.
        self._head = b""
        #: It has not left yet.
        self._head_pending = False
        self._framing = NOTHING
        #: Bytes of body that the head announces.
        self._length = 0
        #: Bytes of body given so far.
        self.sent = 0
        #: When it was started, by `time.perf_counter`; 0 before.
        self.started_at = 0.0
        #: The connection can go on after it.
        self.keep_alive = True
        #: Why what the app sends is dropped; else empty.
        self.dropped_because = ""

    @property
    def fields(self) -> RawHeaders:
        """The fields of the head as they leave."""
        return encoded_fields(self._head)

    @property
    def has_length(self) -> bool:
        """The length of the body is declared, and nothing stands between its pieces."""
        return self._framing == BY_LENGTH

    @property
    def ends_with_connection(self) -> bool:
        """Only the end of the connection tells the end of the body."""
        return self._framing == BY_CLOSE

    # --------------------------------------------------------- before the head

    def continue_(self) -> bytes:
        """Give 100 Continue (RFC 9110 §15.2.1); nothing if the response has started."""
        return b"" if self._head else _CONTINUE

    def early_hints(self, fields: Iterable[Field]) -> bytes:
        """Give 103 with these fields (RFC 8297); nothing to HTTP/1.0, or behind the start."""
        if self._head or not self._request.http11:
            return b""
        lines = b"".join([field.line for field in fields])
        return b"HTTP/1.1 103 Early Hints\r\n%b\r\n" % lines

    # --------------------------------------------------------- the head

    def start(
        self,
        head: ResponseHead,
        *,
        keep_alive: bool,
        size: int | None = None,
        trailers: bool = False,
        more: bytes = b"",
    ) -> None:
        """Settle the head. It leaves with what follows: `write`, `write_file` or `finish`.

        `size` is the length of the body in bytes, if it is known; `trailers` will follow the body;
        `more` are field lines of the server's.
        """
        self.started_at = perf_counter()
        request, length, lines = self._request, head.length, [head.encoded]
        if trailers:
            size = None
        if length is not None and (head.status_code == 204 or (trailers and request.http11)):
            # After 204 a client could wait for so many bytes (RFC 9110 §8.6). Trailers go with
            # chunks only (RFC 9112 §7.1.2).
            length, lines = None, [_without_length(head.encoded)]
        lines.append(more)
        known = size if length is None else length
        self._framing = framing(request.method, head.status_code, known, http11=request.http11)
        self._length = known or 0
        if self._framing == BY_CHUNKS:
            lines.append(b"transfer-encoding: chunked\r\n")
        elif length is None and known is not None and self._tells_length(known):
            lines.append(b"content-length: %d\r\n" % known)
        self.keep_alive = keep_alive and not head.close and self._framing != BY_CLOSE
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        elif not request.http11:
            lines.append(b"connection: keep-alive\r\n")
        if not head.has_date:
            lines.append(self._defaults.date_line)
        if not head.has_server:
            lines.append(self._defaults.server_line)
        lines.append(b"\r\n")
        self._head = b"".join(lines)
        self._head_pending = True

    def _tells_length(self, size: int) -> bool:
        """Whether the head says how long the body is (RFC 9110 §8.6).

        An app that answers HEAD mostly gives no body, and then nobody knows how long it would be.
        """
        return self._framing == BY_LENGTH or (self._request.method == "HEAD" and size > 0)

    def _pending_head(self) -> list[bytes]:
        if self._head_pending:
            self._head_pending = False
            return [self._head]
        return []

    # --------------------------------------------------------- the body

    def write(self, chunk: bytes) -> list[bytes]:
        """Give a piece of body, cut at the declared length, as parts to be sent in this order."""
        parts = self._pending_head()
        if self._framing == BY_LENGTH and len(chunk) > self._length - self.sent:
            chunk = chunk[: self._overrun(len(chunk))]
        if not chunk or self._framing == NOTHING:
            return parts
        self.sent += len(chunk)
        if self._framing == BY_CHUNKS:
            parts += [b"%x\r\n" % len(chunk), chunk, b"\r\n"]
        else:
            parts.append(chunk)
        return parts

    def write_file(self, size: int) -> tuple[bytes, int, bytes]:
        """Give a file of `size` bytes: what precedes it, how much of it is sent, what follows.

        Call `wrote_file` when it has been sent.
        """
        before = b"".join(self._pending_head())
        if self._framing == NOTHING:
            return before, 0, b""
        if self._framing == BY_LENGTH and size > self._length - self.sent:
            size = self._overrun(size)
        if self._framing == BY_CHUNKS and size:
            return before + b"%x\r\n" % size, size, b"\r\n"
        return before, size, b""

    def wrote_file(self, count: int) -> None:
        """Count the bytes of a file that have been sent."""
        self.sent += count

    def finish(self, *, trailers: bool = False) -> bytes:
        """Give the end of the body; with `trailers`, they follow.

        If the body is shorter than its declared length, only the end of the connection tells.
        """
        end = b"".join(self._pending_head())
        if self._framing == BY_CHUNKS:
            return end + (b"0\r\n" if trailers else b"0\r\n\r\n")
        if self._framing == BY_LENGTH and self.sent < self._length:
            logger.error(
                "the response to %s has %s bytes, and its Content-Length is %s; "
                "the connection is closed",
                self._request.shown,
                self.sent,
                self._length,
            )
            self.keep_alive = False
        return end

    def trailers(self, fields: Iterable[Field], *, last: bool) -> bytes:
        """Give trailer fields (RFC 9112 §7.1.2); nothing if there are no chunks before them."""
        if self._framing != BY_CHUNKS:
            return b""
        return b"".join([field.line for field in fields]) + (b"\r\n" if last else b"")

    def _overrun(self, size: int) -> int:
        """Note that the app sends more than it declared; how much of `size` bytes still fits."""
        room = self._length - self.sent
        logger.error(
            "the response to %s is longer than its Content-Length of %s bytes (by %s or more); "
            "it was cut there, and the connection is closed",
            self._request.shown,
            self._length,
            size - room,
        )
        self.dropped_because = (
            f"the response is longer than its Content-Length of {self._length} bytes"
        )
        self.keep_alive = False
        return room


def _without_length(encoded: bytes) -> bytes:
    """Status line and fields without the app's Content-Length."""
    lines = encoded.split(b"\r\n")
    return b"\r\n".join(
        [line for line in lines if not line[:15].lower().startswith(b"content-length:")]
    )


# ------------------------------------------------------------- methods of the connection


def new_response(connection: Connection, request: Request) -> Response:
    """The response to `request`, as bytes."""
    return Response(request, connection.state.default_fields)


def keeps_alive(connection: Connection, exchange: Exchange) -> bool:
    """Whether the connection can go on after the response that starts now (RFC 9112 §9.3).

    It cannot if the client does not want it to, if the server stops, or if more of the body is to
    come than we care to read and throw away (W26).
    """
    request, body = exchange.request, exchange.body
    if request.close or connection.state.stop_phase or connection.client_left:
        return False
    if body.state <= WHOLE:
        return True
    return not body.awaits_continue and request.length - body.size <= DRAIN_LIMIT


def fast_head(
    connection: Connection, exchange: Exchange, head: ResponseHead, size: int
) -> bytes | None:
    """The head on the wire of a whole response with `size` bytes of body, if nothing is unusual.

    Else None: then a `Response` has to work it out.
    """
    if (
        exchange.keep_alive_fast
        and head.length == size
        and head.fast
        and not connection.client_left
        and not connection.state.stop_phase
    ):
        return _with_fields(exchange.served, head) + connection.state.default_end
    return None


def _with_fields(served: Served, head: ResponseHead) -> bytes:
    """Encode a head, with what says who answered."""
    if served is BY_THE_APP:
        return head.encoded
    head, more = served.applied(head)
    return head.encoded + more


def send_whole(connection: Connection, exchange: Exchange, head: ResponseHead, body: bytes) -> None:
    """Write a whole response, and end its exchange."""
    size, state = len(body), connection.state
    if (  # as in `fast_head`: a call less
        exchange.keep_alive_fast
        and head.length == size
        and head.fast
        and not connection.client_left
        and not state.stop_phase
    ):
        data = _with_fields(exchange.served, head) + state.default_end
        if size < MIN_UNCOPIED:
            connection.write(data + body)
        else:
            connection.output.write_parts((data, body))
        exchange.end(head.status_code, size, data)
    else:
        response = exchange.start_response(head, size=size)
        connection.output.write_parts(gathered((*response.write(body), response.finish())))
        exchange.end()


def ends_with_connection(exchange: Exchange) -> bool:
    """Whether only the end of the connection tells the end of the body."""
    response = exchange.response
    return response is not None and response.ends_with_connection
