"""Request bodies of WSGI apps: handed on as they come, or kept until they are whole (W25)."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Any

from bridge.server.request import CHUNKED, Request
from bridge.server.request_body import PARTIAL, WHOLE, RequestBody
from bridge.wsgi.input import BytesInput, WsgiInput, spool_limit_without_length


class MemoryBody(RequestBody):
    """A body that is kept in memory until it is whole."""

    __slots__ = ("_data",)
    held = True

    def __init__(self, limit: int, *, awaits_continue: bool = False) -> None:
        super().__init__(PARTIAL, limit, awaits_continue=awaits_continue)
        self._data = bytearray()

    def feed(self, data: bytes) -> bool:
        """Take a piece; there is always room."""
        self.size += len(data)
        self._data += data
        return True

    def open(self) -> BytesInput:
        """Return the body as ``wsgi.input``."""
        return BytesInput(self._data)


class DiskBody(RequestBody):
    """A body that is kept until it is whole, on disk if it is larger than `in_memory` bytes."""

    __slots__ = ("_file",)
    held = True

    def __init__(self, limit: int, in_memory: int, *, awaits_continue: bool = False) -> None:
        from bridge.server.apps.wsgi.spool import Spool  # few requests need it

        super().__init__(PARTIAL, limit, awaits_continue=awaits_continue)
        self._file: IO[bytes] = Spool(in_memory)

    def feed(self, data: bytes) -> bool:
        """Take a piece; there is always room."""
        self.size += len(data)
        self._file.write(data)
        return True

    def open(self) -> IO[bytes]:
        """Return the body as ``wsgi.input``."""
        self._file.seek(0)
        return self._file


def held_body(request: Request, limit: int, spool: int | None) -> MemoryBody | DiskBody | None:
    """Make what keeps a body until it is whole; None if the app gets it as it comes.

    `spool` is how many bytes are kept in memory if the app wants whole bodies (`spool_limit`).
    """
    if request.length == CHUNKED:
        spool = spool_limit_without_length(spool)
    if spool is None:
        return None
    waits = request.expects_continue
    if 0 < request.length <= spool:
        return MemoryBody(limit, awaits_continue=waits)
    return DiskBody(limit, spool, awaits_continue=waits)


def open_input(body: RequestBody, pull: Callable[[], bytes]) -> Any:
    """Make ``wsgi.input``; `pull` waits for the next piece of a body that is still coming."""
    if isinstance(body, (MemoryBody, DiskBody)):
        return body.open()
    if body.state == WHOLE:
        return BytesInput(body.take())
    return WsgiInput(pull)
