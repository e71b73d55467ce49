"""Request bodies as WSGI apps read them (W20-W23)."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Final

from bridge.limits import SPOOL_LIMIT

#: Modules of frameworks that read a body by Content-Length only, and nothing if there is none.
_NEED_LENGTH: Final = (
    *("django.core.handlers.wsgi", "bottle", "falcon", "cherrypy", "web.webapi"),
    "microdot.wsgi",
)


def needs_length() -> bool:
    """Whether a framework is loaded that can only read bodies of known length (W24)."""
    return any(name in sys.modules for name in _NEED_LENGTH)


def spool_limit(spool_body: int | None, *, can_wait: bool) -> int | None:
    """Return how many bytes of a body to keep in memory, if it is read before the app runs (W25).

    None: it is not read before; the app reads its body as it arrives. `spool_body` is the setting;
    an app that cannot wait (`can_wait`) needs the whole body in any case.
    """
    return spool_body if can_wait else (spool_body or SPOOL_LIMIT)


def spool_limit_without_length(limit: int | None) -> int | None:
    """Adapt a `spool_limit` to a body of unknown length: some frameworks cannot read it (W24)."""
    return SPOOL_LIMIT if limit is None and needs_length() else limit


class _PullReader(io.RawIOBase):
    """A raw stream over `pull`, which returns the next bytes, of any length, and b"" at the end."""

    def __init__(self, pull: Callable[[], bytes]) -> None:
        self._pull = pull
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` from one pull at most; return the number of bytes, 0 at the end."""
        rest = self._rest or memoryview(self._pull())
        count = min(len(rest), len(buffer))
        buffer[:count] = rest[:count]
        self._rest = rest[count:]
        return count

    def readall(self) -> bytes:
        """Return all that is left."""
        chunks = [bytes(self._rest)]
        self._rest = memoryview(b"")
        while chunk := self._pull():
            chunks.append(chunk)
        return b"".join(chunks)


class WsgiInput(io.BufferedReader):
    """``wsgi.input`` over `pull`: the standard library's reader, so exactly its semantics (W20).

    `pull` is called only when the app reads. If it raises, the app's read raises the same: a body
    that was cut off never looks complete (W23).
    """

    def __init__(self, pull: Callable[[], bytes]) -> None:
        super().__init__(_PullReader(pull))


class BytesInput(io.BytesIO):
    """``wsgi.input`` over a body that is complete: the same semantics as `WsgiInput`."""

    __slots__ = ()

    def readlines(self, hint: int | None = None, /) -> list[bytes]:
        """Return lines until they exceed `hint` bytes; `BytesIO` would stop one line earlier."""
        if hint is None or hint <= 0:
            return super().readlines()
        lines, size = [], 0
        for line in self:
            lines.append(line)
            size += len(line)
            if size > hint:
                break
        return lines
