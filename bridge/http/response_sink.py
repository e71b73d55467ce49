"""Where a WSGI response goes, whatever the host (PEP 3333)."""

from __future__ import annotations

from typing import Any, Protocol

from bridge.errors import BridgeError
from bridge.http.response_head import ResponseHead


class ResponseSink(Protocol):
    """Where a WSGI response goes; the rules of what may go are `WsgiCall`'s.

    A sink is called from the thread or greenlet in which the app runs. It gets either one
    ``respond``, or one ``start``, any number of ``write`` and one ``finish`` or ``abort``.
    """

    def respond(self, head: ResponseHead, body: bytes) -> None:
        """Take a whole response; nothing follows."""

    def start(self, head: ResponseHead) -> None:
        """Take the head of a response whose body follows in pieces."""

    def write(self, chunk: bytes) -> bool:
        """Take one piece, never empty, and wait while the client is slow.

        False asks the caller to pause: the sink cannot wait where it is called, and will
        have the caller go on when the client has caught up (inline runner).
        Raises ``ClientDisconnected`` when the client is gone.
        """

    def send_file(self, file: Any, block_size: int, count: int | None) -> bool:
        """Take the rest of an open file (at most `count` bytes) as the rest of the body.

        False: not possible here, and nothing was taken; send chunks.
        """

    def finish(self) -> None:
        """The body is whole."""

    def failed(self, error: BaseException) -> bool:
        """The app raised `error`, or broke a rule, before its response was over.

        True: the host is told, and what it does with that is its own affair. False: it is to be
        logged here.
        """

    def refused(self, error: BridgeError) -> bool:
        """The request is refused, and the app does not run; True: the host tells of it."""

    def abort(self) -> None:
        """The response cannot be completed: the client must be able to tell."""
