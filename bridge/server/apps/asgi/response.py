"""A response that an ASGI app sends in pieces (ASGI, "ResponseEncoder Start"; S10).

Most apps send one piece, and there is no such object. Here is what follows otherwise: pieces,
files, trailers, and when the loop gets a turn.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator
from types import coroutine
from typing import Final

from bridge.asgi import messages as grammar
from bridge.asgi.disconnect import DisconnectNotice
from bridge.http.response_sink import ResponseEncoder
from bridge.server.exchange import Connection
from bridge.server.transport.output import gathered
from bridge.server.transport.sendfile import send_file

# The phases of an ASGI exchange, as small numbers: compared on every message. While the head is
# held, it matters whether trailers will follow: a body that comes whole is not all of the response.
WAITING: Final = 0
HELD: Final = 1
HELD_WITH_TRAILERS: Final = 2
STREAMING: Final = 3
TRAILING: Final = 4
OVER: Final = 5
#: The same as in the tables of `asgi/messages.py`.
PHASES: Final = (
    grammar.WAITING, *[grammar.STREAMING] * 3, grammar.TRAILING, grammar.OVER,
)  # fmt: skip

#: The loop gets a turn whenever an app has given so many more bytes of a streamed body (S12), and
#: what a message counts beside its bytes: one can be empty, or for HEAD.
_BURST: Final = 32 * 1024
_MESSAGE: Final = 256


class AsgiStream:
    """The body of a response that has started, and its trailers; `write` and others give a phase.

    `response` has its head, and `trailers` tells whether the app will send some.
    """

    __slots__ = ("_connection", "_response", "_since_turn", "_trailers")

    def __init__(
        self, connection: Connection, response: ResponseEncoder, *, trailers: bool
    ) -> None:
        self._connection = connection
        self._response = response
        self._trailers = trailers
        #: Bytes given since the loop last had a turn.
        self._since_turn = 0

    def write(self, body: bytes, *, more: bool) -> int:
        """Send a piece of body; return the phase after it."""
        response, phase = self._response, STREAMING
        self._since_turn += len(body) + _MESSAGE
        parts = response.write(body)
        if not more or response.dropped_because:
            phase = self._finish(parts)
        self._send(parts)
        return phase

    async def write_file(self, file: int, size: int) -> int:
        """Send an open file as the rest of the body, close it, and return the phase after it.

        Raises `ClientDisconnected`, and `OSError` if the file is shorter.
        """
        try:
            before, count, after = self._response.write_file(size)
            self._send([before] if before else [])
            if count:
                await send_file(self._connection.output, file, 0, count)
                self._response.wrote_file(count)
        finally:
            os.close(file)
        parts = [after] if after else []
        phase = self._finish(parts)
        self._send(parts)
        return phase

    def _finish(self, parts: list[bytes]) -> int:
        """Add the end of the body to `parts`; return the phase after it."""
        trailers = self._trailers and not self._response.dropped_because
        end = self._response.finish(trailers=trailers)
        if end:
            parts.append(end)
        return TRAILING if trailers else OVER

    def _send(self, parts: list[bytes]) -> None:
        """Write these behind one another, large ones without a copy."""
        gathered_parts = gathered(parts)
        if len(gathered_parts) > 1:
            self._connection.output.write_parts(gathered_parts)
        elif gathered_parts[0]:
            self._connection.write(gathered_parts[0])

    # --------------------------------------------------------- the loop's turn

    def has_burst(self) -> bool:
        """Return whether the loop is to have a turn before the app sends more."""
        return self._since_turn >= _BURST or self._connection.output.transport.is_closing()

    async def give_turn(self, notice: DisconnectNotice) -> None:
        """Give the loop a turn.

        An app that only sends never waits for one: others would not be served, and it would not be
        seen that the client is gone. An app that is cancelled meanwhile is so at its next await.
        """
        self._since_turn = 0
        try:
            await _turn()
        except asyncio.CancelledError as error:
            if not self._connection.output.closed:
                raise
            notice.defer_cancellation(error)


@coroutine
def _turn() -> Generator[None]:
    """Let the loop have a turn."""
    yield
