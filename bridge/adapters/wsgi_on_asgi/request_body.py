"""A request's body as ASGI's messages bring it (W20-W25)."""

from __future__ import annotations

from typing import Any

from bridge.errors import BridgeError, ClientDisconnected, RequestError
from bridge.types import Receive
from bridge.wsgi.input import BytesInput


class RequestBody:
    """The pieces of a body, from `receive`; everything here runs on the loop.

    `length`: its Content-Length, if it has one. `limit`: bytes after which it is a 413. Raises
    `RequestError` (413) if `length` is more than that (W22).
    """

    __slots__ = ("_error", "_file", "_length", "_limit", "_receive", "_unread", "ended", "received")

    def __init__(
        self, receive: Receive, length: int | None = None, limit: int | None = None
    ) -> None:
        if length is not None and limit is not None and length > limit:
            raise _too_large(limit)
        self._receive = receive
        self._length = length
        self._limit = limit
        self._error: BridgeError | None = None
        self._unread = b""  # what `take_small` has taken of a body that is not small
        self._file: Any = None  # what `take` gave
        #: Bytes that have come.
        self.received = 0
        #: The last piece has come.
        self.ended = False

    async def next(self) -> bytes:
        """Return the next piece; b"" at the end.

        Raises, from then on at every call: `ClientDisconnected` if the client went away in
        mid-body (W23), `RequestError` (413) if there is more than the limit (W22).
        """
        if self._unread:
            unread, self._unread = self._unread, b""
            return unread
        return await self._next()

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
            if self._limit is not None and self.received > self._limit:
                self._error = _too_large(self._limit)
            elif self.ended and self._length is not None and self.received < self._length:
                self._error = ClientDisconnected(
                    f"the request's body ended after {self.received} of {self._length} bytes"
                )
            elif piece:
                return piece
        if self._error is not None:
            raise self._error
        return b""

    async def disconnected(self) -> None:
        """Return when the client is gone; for after the end of the body."""
        while (await self._receive())["type"] == "http.request":
            pass

    # --------------------------------------------------------- all of it, before the app runs

    async def take(self, memory: int) -> Any:
        """Return the whole body as a file, at position 0: `memory` bytes in memory, more on disk.

        Raises what `next` raises. `close` closes the file.
        """
        pieces, size = [], 0
        while piece := await self.next():
            pieces.append(piece)
            size += len(piece)
            if size > memory:
                self._file = await self._take_to_disk(pieces)
                return self._file
        self._file = BytesInput(b"".join(pieces))
        return self._file

    async def take_small(self, most: int) -> Any:
        """Return the body as a file, if it ends before more than `most` bytes had to be awaited.

        Else None, and `next` gives all of it. Raises what `next` raises.
        """
        pieces: list[bytes] = []
        size = 0
        while size <= most:
            piece = await self._next()
            if not piece:
                break
            pieces.append(piece)
            size += len(piece)
        taken = b"".join(pieces)
        if not self.ended:
            self._unread = taken
            return None
        self._file = BytesInput(taken)
        return self._file

    async def _take_to_disk(self, pieces: list[bytes]) -> Any:
        from tempfile import TemporaryFile  # nearly 1 MB, and few requests need it

        file = TemporaryFile()  # noqa: SIM115  `close` closes it when the app is done
        try:
            file.writelines(pieces)
            while piece := await self.next():
                file.write(piece)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def close(self) -> None:
        """Close the file that was taken: the app is done."""
        if self._file is not None:
            self._file.close()


def _too_large(limit: int) -> RequestError:
    return RequestError(
        f"the request's body has more than {limit} bytes; raise max_body_size to allow it", 413
    )
