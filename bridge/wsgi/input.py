"""Request bodies as WSGI apps read them (W20-W23)."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Final

from bridge.limits import SPOOL_LIMIT

#: What frameworks load that read no more of a body than Content-Length says, and nothing without.
_NEED_LENGTH: Final = (
    *("django.core.handlers.wsgi", "bottle", "falcon", "cherrypy", "web.webapi"),
    "microdot.wsgi",
)


def needs_length() -> bool:
    """Whether a body of unknown length must be measured before the app can read it (W24)."""
    return any(name in sys.modules for name in _NEED_LENGTH)


def spool_limit(spool_body: int | None, *, can_wait: bool) -> int | None:
    """How much of a whole body may be in memory, in bytes, before an app runs (W25).

    None: the app reads its body as it comes. `spool_body` is the setting; an app that cannot wait
    (`can_wait`) has to have all of its body in any case.
    """
    return spool_body if can_wait else (spool_body or SPOOL_LIMIT)


def spool_limit_without_length(limit: int | None) -> int | None:
    """`spool_limit` for a body of unknown length, which some frameworks cannot read (W24)."""
    return SPOOL_LIMIT if limit is None and needs_length() else limit


class _PullReader(io.RawIOBase):
    """A raw stream over `pull`, which gives the next bytes, of any length, and b"" at the end."""

    def __init__(self, pull: Callable[[], bytes]) -> None:
        self._pull = pull
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` from what one pull gives; 0 at the end."""
        rest = self._rest or memoryview(self._pull())
        count = min(len(rest), len(buffer))
        buffer[:count] = rest[:count]
        self._rest = rest[count:]
        return count

    def readall(self) -> bytes:
        """All that is left, joined once."""
        chunks = [bytes(self._rest)]
        self._rest = memoryview(b"")
        while chunk := self._pull():
            chunks.append(chunk)
        return b"".join(chunks)


class WsgiInput(io.BufferedReader):
    """``wsgi.input`` over `pull`: the standard library's reader, so its semantics exactly (W20).

    `pull` is called only when the app reads. What it raises, the read raises: a body that was
    cut off never looks like a whole one (W23).
    """

    def __init__(self, pull: Callable[[], bytes]) -> None:
        super().__init__(_PullReader(pull))


class BytesInput(io.BytesIO):
    """``wsgi.input`` over a body that is all there: the same semantics as `WsgiInput`."""

    __slots__ = ()

    def readlines(self, hint: int | None = None, /) -> list[bytes]:
        """The lines, up to the one that goes beyond `hint` bytes; `BytesIO` stops one earlier."""
        if hint is None or hint <= 0:
            return super().readlines()
        lines, size = [], 0
        for line in self:
            lines.append(line)
            size += len(line)
            if size > hint:
                break
        return lines
