"""A request's body as ASGI's messages bring it (W20-W24)."""

from __future__ import annotations

from typing import Any

from bridge.errors import BridgeError, ClientDisconnected, RequestError
from bridge.types import Receive
from bridge.wsgi.input import WholeInput


class Upload:
    """The pieces of a body, from `receive`; everything here runs on the loop.

    `length`: its Content-Length, if it has one. `limit`: bytes after which it is a 413.
    """

    __slots__ = ("_begin", "_error", "_receive", "ended", "length", "limit", "received")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._error: BridgeError | None = None
        self._begin = b""  # what was gathered
        self.length: int | None = None
        self.limit: int | None = None
        self.received = 0
        self.ended = False

    async def next(self) -> bytes:
        """The next piece; b"" at the end.

        Raises, from then on at every call: `ClientDisconnected` where the client went away in
        mid-body (W23), `RequestError` (413) where there is more than `limit` (W22).
        """
        if self._begin:
            begin, self._begin = self._begin, b""
            return begin
        return await self._next()

    async def gather(self, most: int) -> bytes | None:
        """The whole body, if it ends before more than `most` bytes had to be awaited.

        Else None, and `next` gives all of it. Raises what `next` raises.
        """
        pieces: list[bytes] = []
        size = 0
        while size <= most:
            piece = await self._next()
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
            size += len(piece)
        begin = b"".join(pieces)
        if self.ended:
            return begin
        self._begin = begin
        return None

    async def _next(self) -> bytes:
        while self._error is None and not self.ended:
            message = await self._receive()
            if message["type"] != "http.request":
                self._error = ClientDisconnected(
                    f"the client is gone after {self.received} bytes of the request's body"
                )
                break
            piece: bytes = message.get("body", b"")
            self.received += len(piece)
            self.ended = not message.get("more_body", False)
            if self.limit is not None and self.received > self.limit:
                self._error = too_large(self.limit)
            elif self.ended and self.length is not None and self.received < self.length:
                self._error = ClientDisconnected(
                    f"the request's body ended after {self.received} of {self.length} bytes"
                )
            elif piece:
                return piece
        if self._error is not None:
            raise self._error
        return b""

    async def disconnected(self) -> None:
        """After the end of the body: return when the client is gone."""
        while (await self._receive())["type"] == "http.request":
            pass


def too_large(limit: int) -> RequestError:
    """The 413 of a body of more than `limit` bytes."""
    return RequestError(
        f"the request's body has more than {limit} bytes; raise max_body_size to allow it", 413
    )


async def take_whole(upload: Upload, memory: int) -> Any:
    """The whole body as a file, at its begin: `memory` bytes in memory, more in a temporary file.

    Raises what `Upload.next` raises.
    """
    pieces, size = [], 0
    while piece := await upload.next():
        pieces.append(piece)
        size += len(piece)
        if size > memory:
            return await _take_to_disk(upload, pieces)
    return WholeInput(b"".join(pieces))


async def _take_to_disk(upload: Upload, pieces: list[bytes]) -> Any:
    from tempfile import TemporaryFile  # nearly 1 MB, and few requests need it

    file = TemporaryFile()  # noqa: SIM115  the exchange closes it when the app is done
    try:
        file.writelines(pieces)
        while piece := await upload.next():
            file.write(piece)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file
