"""The faces that a response meets on its way out, whatever app it comes from.

A WSGI app's call writes to a `ResponseSink`, on every host. On the server, what ASGI and WSGI apps
send goes through a `ResponseEncoder`, one for each protocol.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from bridge.errors import BridgeError
from bridge.http.response_fields import Field
from bridge.http.response_head import ResponseHead
from bridge.types import RawHeaders


class ResponseStream(Protocol):
    """The body of a response that comes in pieces: any number of `write`, and one `finish`.

    Called from the thread or greenlet in which the app runs.
    """

    def write(self, chunk: bytes) -> bool:
        """Take one piece, never empty, and wait while the client is slow.

        False asks the caller to pause: the sink cannot wait in this thread, and will have the
        caller go on when the client has caught up (inline runner).
        Raises ``ClientDisconnected`` when the client is gone.
        """

    def send_file(self, file: Any, block_size: int, count: int | None) -> bool:
        """Take the rest of an open file (at most `count` bytes) as the rest of the body.

        False: not possible here, and nothing was taken; send chunks.
        """

    def finish(self) -> None:
        """The body is whole."""


class ResponseSink(Protocol):
    """Where a WSGI response goes; the rules of what may go are `WsgiCall`'s.

    A sink is called from the thread or greenlet in which the app runs. It gets either one
    ``respond``, or one ``start`` that gives the stream for the body. Instead of the stream's
    ``finish``, or before anything else, it may get an ``abort``.
    """

    def respond(self, head: ResponseHead, body: bytes) -> None:
        """Take a whole response; nothing follows."""

    def start(self, head: ResponseHead) -> ResponseStream:
        """Take the head of a response whose body follows in pieces."""

    def failed(self, error: BaseException) -> bool:
        """The app raised `error`, or broke a rule, before its response was over.

        True: the host is told, and what it does with that is its own affair. False: it is to be
        logged here.
        """

    def refused(self, error: BridgeError) -> bool:
        """The request is refused, and the app does not run; True: the host tells of it."""

    def abort(self) -> None:
        """The response cannot be completed: the client must be able to tell."""


class ResponseEncoder(Protocol):
    """One response as bytes, which are to be sent in the order in which they are given.

    `start`, any number of `write` and `write_file`, and `finish`; the head comes with what follows
    it. Any thread may call this, one at a time.
    """

    #: Bytes of body given so far.
    sent: int
    #: The connection can go on after this response.
    keep_alive: bool
    #: Why what the app sends is dropped; else empty.
    dropped_because: str

    @property
    def fields(self) -> RawHeaders:
        """The fields of the head as they leave."""

    @property
    def has_length(self) -> bool:
        """The length of the body is declared, and nothing stands between its pieces."""

    @property
    def ends_with_connection(self) -> bool:
        """Only the end of the connection tells the end of the body."""

    def start(
        self,
        head: ResponseHead,
        *,
        keep_alive: bool,
        size: int | None = None,
        trailers: bool = False,
    ) -> None:
        """Take the head; `size` is the length of the body in bytes, if it is known."""

    def write(self, chunk: bytes) -> list[bytes]:
        """Give a piece of body, in parts that are to be sent behind one another."""

    def write_file(self, size: int) -> tuple[bytes, int, bytes]:
        """Give a file as a piece of body: what precedes it, how much of it, and what follows."""

    def wrote_file(self, count: int) -> None:
        """Count the bytes of a file that have been sent."""

    def finish(self, *, trailers: bool = False) -> bytes:
        """Give the end of the body; with `trailers`, they follow."""

    def trailers(self, fields: Iterable[Field], *, last: bool) -> bytes:
        """Give trailer fields; nothing if the client cannot get any."""

    def early_hints(self, fields: Iterable[Field]) -> bytes:
        """Give 103 with these fields; nothing if it cannot be sent, or not any more."""

    def continue_(self) -> bytes:
        """Give 100 Continue; nothing if the response has started."""
