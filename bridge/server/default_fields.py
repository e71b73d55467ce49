"""The fields that the server adds to a response: ``Date`` and ``Server`` (RFC 9110 §6.6.1)."""

from __future__ import annotations

from email.utils import formatdate
from time import time

from bridge.errors import IllegalMessage
from bridge.http.response_fields import make_field


class DefaultFields:
    """The fields as lines, made anew once a second; empty if a field is not wanted."""

    __slots__ = ("_has_date", "date_line", "lines", "server_line")

    def __init__(self, *, date: bool, server: bool) -> None:
        self._has_date = date
        self.date_line = b""
        self.server_line = _line(b"server", b"asgi-bridge") if server else b""
        #: Both of them.
        self.lines = b""
        self.refresh()

    def refresh(self) -> None:
        """Take the date of now."""
        if self._has_date:
            self.date_line = _line(b"date", formatdate(time(), usegmt=True).encode("ascii"))
        self.lines = self.date_line + self.server_line


def _line(name: bytes, value: bytes) -> bytes:
    return make_field(name, value, IllegalMessage).line
