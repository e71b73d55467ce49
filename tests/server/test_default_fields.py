"""The fields that the server adds to a response (S10)."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import pytest

from bridge.server.default_fields import DefaultFields


def test_what_is_wanted() -> None:
    """S10: Date and Server stand there if they are wanted, and only then."""
    assert DefaultFields(date=False, server=False).lines == b""
    assert DefaultFields(date=False, server=True).lines == b"server: asgi-bridge\r\n"
    both = DefaultFields(date=True, server=True)
    assert both.lines == both.date_line + both.server_line
    assert both.date_line.startswith(b"date: ")


def test_the_date_is_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """S10: the date is that of the last refresh (RFC 9110 §5.6.7)."""
    fields = DefaultFields(date=True, server=False)
    monkeypatch.setattr("bridge.server.default_fields.time", lambda: 784111777.5)
    before = fields.lines
    fields.refresh()
    assert fields.lines == b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    said = parsedate_to_datetime(before[6:-2].decode())
    assert abs(said.timestamp() - time.time()) < 120
