"""The request body as a WSGI app gets it: it notes when and how the app reads."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

from bridge.check.findings import Findings
from bridge.check.places import is_app_file, place_of_frame
from bridge.errors import ClientDisconnected


class Body:
    """``wsgi.input``; `is_over` and `has_begun` are set by the call that it belongs to."""

    def __init__(self, data: bytes, findings: Findings, *, breaks_off: bool) -> None:
        self._stream = io.BytesIO(data[: len(data) // 2] if breaks_off else data)
        self._findings = findings
        self._breaks_off = breaks_off
        self.was_read = False
        #: The first piece of the response was handed over.
        self.has_begun = False
        #: ``close()`` was called.
        self.is_over = False

    def read(self, size: int | None = -1) -> bytes:
        """Read as a file does."""
        unbounded = size is None or size < 0
        self._note(unbounded)
        return self._all_or(self._stream.read(-1 if size is None else size), unbounded)

    def readline(self, size: int | None = -1) -> bytes:
        """Read a line."""
        self._note(False)
        return self._all_or(self._stream.readline(-1 if size is None else size), False)

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """Read all lines."""
        self._note(hint is None or hint <= 0)
        return self._stream.readlines(-1 if hint is None else hint)

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the lines."""
        while line := self.readline():
            yield line

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer: some frameworks put a reader of their own around this."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _all_or(self, data: bytes, unbounded: bool) -> bytes:
        """Return `data`; raise as a server does when the client breaks off."""
        if self._breaks_off and (unbounded or not data):
            raise ClientDisconnected("the client left in the middle of its body")
        return data

    def _note(self, unbounded: bool) -> None:
        self.was_read = True
        caller = sys._getframe(2)
        place = place_of_frame(caller)
        if self.is_over:
            self._findings.add("read-after-end", place)
        elif self.has_begun:
            self._findings.add("late-read", place)
        # What a framework reads for a form or for JSON is bounded by its own settings.
        if unbounded and is_app_file(caller.f_code.co_filename):
            self._findings.add("unbounded-read", place)
