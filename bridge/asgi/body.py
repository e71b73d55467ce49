"""`Body`: the body of a request, read in pieces as they come (rule L5).

Nothing is fetched that was not asked for: what the app does not read stays with the server and in
the socket, so a slow app slows its client down.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any

from bridge.errors import AppError, BridgeError, ClientDisconnected, ConfigError, RequestError
from bridge.types import Message, Receive


class Body:
    """The body of a request: ``body = Body(receive)`` in an ASGI 3 app.

    ``await body.read()`` returns the next piece, as it comes, and ``b""`` when the body has ended;
    ``async for piece in body`` does the same. If the client leaves before the end, each call raises
    `ClientDisconnected`: half an upload never passes for a whole one.

    `first`: what has come already; with a `receive` of None it is all. `max_size`: a body of more
    bytes is a `RequestError` (413); None: no limit.

    One task reads at a time: RuntimeError if another does. A call that is cancelled loses nothing.
    """

    __slots__ = ("_buffer", "_ended", "_error", "_max_size", "_receive", "_received", "_turn")

    def __init__(
        self, receive: Receive | None, first: bytes = b"", *, max_size: int | None = None
    ) -> None:
        if max_size is not None and (type(max_size) is not int or max_size < 0):
            raise ConfigError(f"max_size is {max_size!r}; allowed is a number of bytes, or None")
        self._receive = receive
        self._max_size = max_size
        #: What has come and was not returned.
        self._buffer = bytearray(first)
        #: How many bytes have come.
        self._received = 0
        self._ended = receive is None
        #: What each call raises from now on.
        self._error: BridgeError | None = None
        self._turn = _Turn()
        self._count(len(first))

    @classmethod
    def from_consumer(
        cls, message: Message, channels: Mapping[str, Any], *, max_size: int | None = None
    ) -> Body:
        """Make the body of an ASGI 1 request, in ``async def consumer(message, channels)``."""
        rest = channels.get("body")
        return cls(rest and rest.receive, message.get("body") or b"", max_size=max_size)

    async def read(self, size: int | None = None) -> bytes:
        """Return the next piece, as it comes; ``b""`` at the end, and ever after.

        With a `size`: at most so many bytes, and none only at the end. -1: all that is left.
        """
        with self._turn:
            self._check()
            buffer = self._buffer
            if size is not None and size < 0:
                while piece := await self._fetch():
                    buffer += piece
            elif size != 0 and not buffer:
                piece = await self._fetch()
                if size is None or len(piece) <= size:
                    return piece
                buffer += piece
            return self._take(len(buffer) if size is None or size < 0 else size)

    async def readline(self, limit: int = -1) -> bytes:
        r"""Return the next line with its ``\n``, which the last may lack; ``b""`` at the end.

        With a `limit`: at most so many bytes; the rest of the line comes next.
        """
        with self._turn:
            self._check()
            buffer, searched = self._buffer, 0
            while (end := buffer.find(b"\n", searched)) < 0 and not 0 <= limit <= len(buffer):
                searched = len(buffer)
                piece = await self._fetch()
                if not piece:
                    break
                buffer += piece
            size = len(buffer) if end < 0 else end + 1
            return self._take(size if limit < 0 else min(size, limit))

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the lines, each with its end."""
        while line := await self.readline():
            yield line

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        piece = await self.read()
        if not piece:
            raise StopAsyncIteration
        return piece

    # --------------------------------------------------------- from the client

    async def _fetch(self) -> bytes:
        """Return the next piece that comes; ``b""`` at the end, and then nothing is asked for."""
        while not self._ended:
            assert self._receive is not None
            piece, more = self._unpack(await self._receive())
            self._count(len(piece))
            self._check()
            self._ended = not more
            if piece:
                return piece
        return b""

    def _unpack(self, message: Message) -> tuple[bytes, bool]:
        """Return the piece in a message of ASGI 3 or 1, and whether more follows."""
        kind = message.get("type")
        if kind == "http.request":
            return message.get("body") or b"", message.get("more_body", False)
        if kind == "http.disconnect" or message.get("closed"):
            self._error = ClientDisconnected("the client left before the end of its body")
            raise self._error
        if kind is None and "content" in message:
            return message["content"] or b"", message.get("more_content", False)
        raise AppError(
            f"receive() returned {kind or message!r:.200}; a Body is for HTTP requests, and takes "
            "their receive before anything else does"
        )

    def _count(self, size: int) -> None:
        """Count bytes that came, and note if they are too many."""
        self._received += size
        if self._max_size is not None and self._received > self._max_size:
            self._error = RequestError(
                f"the body has more than {self._max_size} bytes; raise max_size to allow it", 413
            )

    # --------------------------------------------------------- to the app

    def _check(self) -> None:
        if self._error is not None:
            raise self._error.with_traceback(None)

    def _take(self, size: int) -> bytes:
        """Take `size` bytes out of the buffer, or all that are there."""
        buffer = self._buffer
        taken = bytes(buffer if size >= len(buffer) else buffer[:size])
        del buffer[:size]
        return taken


class _Turn:
    """Lets one task in at a time; a second gets an error."""

    __slots__ = ("_taken",)

    def __init__(self) -> None:
        self._taken = False

    def __enter__(self) -> None:
        if self._taken:
            raise RuntimeError(
                "another task is reading this body; let one task read it, and hand on what it reads"
            )
        self._taken = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._taken = False
