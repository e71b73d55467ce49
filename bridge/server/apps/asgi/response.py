"""An ASGI app's response, from its messages to what is written (ASGI, "Response Start"; S10).

The head is held until the first piece of body is known, and leaves with it, in one write.
"""

from __future__ import annotations

import os

from bridge.asgi import messages as grammar
from bridge.errors import ClientDisconnected, IllegalMessage
from bridge.http.response_head import ResponseHead, raw_head
from bridge.server.apps.asgi.extensions import hint_head, open_path, trailer_lines
from bridge.server.exchange import BY_CHUNKS, BY_LENGTH, NO_BODY, UNFRAMED, Exchange
from bridge.server.http1.connection import HttpProtocol
from bridge.server.transport.sendfile import send_file
from bridge.types import Message

# Phases, as small numbers: compared on every message. While the head is held, it matters whether
# trailers will follow: a body that comes whole is then not all of the response.
WAITING, HELD, HELD_WITH_TRAILERS, STREAMING, TRAILING, OVER = range(6)
PHASES = (grammar.WAITING, *[grammar.STREAMING] * 3, grammar.TRAILING, grammar.OVER)


class AsgiResponse(Exchange):
    """The response of a request answered by an ASGI app."""

    connection: HttpProtocol
    _phase: int
    #: The head that the app gave, until it leaves.
    _start: ResponseHead
    #: Bytes of a streamed body since the loop last had a turn.
    _given: int
    #: The app will send trailers.
    _trailers = False

    def _begin(self, message: Message) -> None:
        """The head: checked now, so that errors are raised in the app; held until the body."""
        self._start = head = raw_head(message.get("status"), message.get("headers"))
        self.status = head.status_code
        if message.get("trailers"):
            self._trailers = True
            self._phase = HELD_WITH_TRAILERS
        else:
            self._phase = HELD

    def _stream(self, body: bytes, more: bool) -> None:
        parts = [self._head_out()] if self._phase < STREAMING else []
        parts += self.parts(body)
        if more and not self.abandoned:
            self._phase = STREAMING
            if parts:
                self.send_parts(parts)
        else:
            self._finish(parts)

    def _head_out(self, size: int | None = None) -> bytes:
        """The head of a response whose body follows; `size` is its length where it is known."""
        self._given = 0
        self.begin(self._start)
        if size is not None and self.length is None and not self._trailers:
            self.length = size
            self.head_bytes += b"content-length: %d\r\n" % size
        if self._trailers and self.length is not None and self.head.http11:
            self.drop_length()  # trailers go with chunks only (RFC 9112 §7.1.2)
        self.frame(None)
        return self.head_bytes

    def _finish(self, parts: list[bytes]) -> None:
        """Write the last of the body, and what ends it; trailers may follow."""
        if self._trailers and not self.abandoned:
            self._phase = TRAILING
            end = b"0\r\n" if self.framing == BY_CHUNKS else self.last_piece()
        else:
            self._phase = OVER
            end = self.last_piece()
        if end:
            parts.append(end)
        if parts:
            self.send_parts(parts)
        if self._phase == OVER:
            self.end()

    async def _send_unusual(self, kind: str, message: Message) -> None:
        if self.abandoned:
            raise ClientDisconnected(self.abandoned)
        phase = PHASES[self._phase]
        grammar.following(grammar.HTTP, phase, message)
        if kind == grammar.EARLY_HINT:
            self._early_hint(message)
        elif kind == grammar.TRAILERS:
            self._send_trailers(message)
        elif kind == grammar.PATHSEND:
            if not self.connection.state.config.pathsend:
                raise IllegalMessage(f"{kind!r} is not offered; --pathsend offers it")
            if self._phase >= STREAMING:
                raise grammar.out_of_order(grammar.HTTP, phase, kind)
            await self._send_path(message)

    def _send_trailers(self, message: Message) -> None:
        lines = trailer_lines(message)
        last = not message.get("more_trailers")
        if self.framing == BY_CHUNKS:
            self.connection.write(lines + b"\r\n" if last else lines)
        if last:
            self._phase = OVER
            self.end()

    async def _send_path(self, message: Message) -> None:
        """``http.response.pathsend``: the body is a file. Raises as `open_path` does."""
        file, size = open_path(message)
        try:
            await self._send_file(file, size)
        finally:
            os.close(file)

    async def _send_file(self, file: int, size: int) -> None:
        connection = self.connection
        head = self._head_out(size)
        self._phase = STREAMING
        count = size
        if self.framing == BY_LENGTH and self.length is not None and size > self.length:
            self.overrun(size - self.length)
            count = self.length
        elif self.framing == NO_BODY:
            count = 0
        chunk = self.framing == BY_CHUNKS and count > 0
        connection.write(head + b"%x\r\n" % count if chunk else head)
        if count:
            await send_file(connection.output, file, 0, count)
        self.sent = count
        self._finish([b"\r\n"] if chunk else [])

    def _early_hint(self, message: Message) -> None:
        if self.head.http11 and self.framing == UNFRAMED:
            self.connection.write(hint_head(message))
