"""The interfaces that a response is written to, whatever app it comes from.

On every host a WSGI app's call writes to a `ResponseSink`. On the server, the responses of ASGI and
WSGI apps are encoded by a `ResponseEncoder`; there is one class for each protocol.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from bridge.errors import BridgeError
from bridge.http.response_fields import Field
from bridge.http.response_head import ResponseHead
from bridge.types import RawHeaders


class ResponseStream(Protocol):
    """The body of a response in pieces: any number of `write` calls, then one `finish`.

    Called from the thread or greenlet in which the app runs.
    """

    def write(self, chunk: bytes) -> bool:
        """Take one piece, never empty, and wait while the client is slow.

        False asks the caller to pause: the sink cannot wait in this thread, and calls it again when
        the client has caught up (inline runner). Raises ``ClientDisconnected`` if the client is
        gone.
        """

    def send_file(self, file: Any, block_size: int, count: int | None) -> bool:
        """Send the rest of an open file (at most `count` bytes) as the rest of the body.

        False: not possible here, nothing was sent; the caller must write chunks.
        """

    def finish(self) -> None:
        """End the body."""


class ResponseSink(Protocol):
    """Where a WSGI response is written; `WsgiCall` checks the order of calls.

    A sink is called from the thread or greenlet in which the app runs: either one ``respond``, or
    one ``start``, which returns the stream for the body. An ``abort`` may come instead of the
    stream's ``finish``, or before anything else.
    """

    def respond(self, head: ResponseHead, body: bytes) -> None:
        """Take a whole response; nothing follows."""

    def start(self, head: ResponseHead) -> ResponseStream:
        """Take the head of a response whose body follows in pieces."""

    def failed(self, error: BaseException) -> bool:
        """Take note that the app raised `error`, or broke a rule, before its response was over.

        True: the host is told, and logs the error. False: the caller must log it.
        """

    def refused(self, error: BridgeError) -> bool:
        """Take note that the request is refused before the app runs; True: the host logs it."""

    def abort(self) -> None:
        """Cut the response, which cannot be completed, so that the client can tell."""


class ResponseEncoder(Protocol):
    """Encodes one response; send what its methods return in that order.

    Call `start`, then `write` and `write_file` any number of times, then `finish`. The head is
    returned together with what follows it. Any thread may call this, one at a time.
    """

    #: Bytes of body given so far.
    sent: int
    #: When it was started, by `time.perf_counter`; 0 before.
    started_at: float
    #: Whether the connection can be used again after this response.
    keep_alive: bool
    #: Why the rest of what the app sends is dropped; empty if it is not.
    dropped_because: str

    @property
    def fields(self) -> RawHeaders:
        """The fields of the head as they are sent."""

    @property
    def has_length(self) -> bool:
        """Whether the length of the body is declared, so that pieces are sent without framing."""

    @property
    def ends_with_connection(self) -> bool:
        """Whether the body ends only when the connection is closed."""

    def start(
        self,
        head: ResponseHead,
        *,
        keep_alive: bool,
        size: int | None = None,
        trailers: bool = False,
        more: bytes = b"",
    ) -> None:
        """Set the head; `size` is the length of the body in bytes, if it is known.

        `more` are field lines that are added to it.
        """

    def write(self, chunk: bytes) -> list[bytes]:
        """Encode a piece of the body; returns parts to send one after another."""

    def write_file(self, size: int) -> tuple[bytes, int, bytes]:
        """Encode a file as a piece of the body: bytes before it, how much of it, bytes after it."""

    def wrote_file(self, count: int) -> None:
        """Count the bytes of a file that have been sent."""

    def finish(self, *, trailers: bool = False) -> bytes:
        """Encode the end of the body; `trailers`: they are sent next."""

    def trailers(self, fields: Iterable[Field], *, last: bool) -> bytes:
        """Encode trailer fields; empty if the client cannot receive them."""

    def early_hints(self, fields: Iterable[Field]) -> bytes:
        """Encode 103 with these fields; empty if it cannot be sent, or no longer."""

    def continue_(self) -> bytes:
        """Encode 100 Continue; empty if the response has started."""
