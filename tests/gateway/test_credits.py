"""Credits: how much may be under way."""

from __future__ import annotations

from bridge.gateway.credits import WINDOW, Receiving, Sending, weight


def test_writer_and_reader() -> None:
    """L9: a writer stops when its window is used up, and goes on when the reader has taken some."""
    writer, reader = Sending(), Receiving()
    writer.pay(WINDOW - 1)
    assert writer.open
    writer.pay(10)
    assert not writer.open
    granted = reader.taken(10)
    assert granted == 0
    granted = reader.taken(WINDOW)
    assert granted == WINDOW + 10
    writer.grant(granted)
    assert writer.left == WINDOW + 1


def test_weight() -> None:
    """L9: a message costs its data, and something for itself: many empty ones are not free."""
    empty = weight({"type": "http.response.body", "body": b""})
    assert empty > 0
    assert weight({"type": "http.response.body", "body": b"abc"}) == empty + 3
    assert weight({"type": "websocket.send", "text": "abcd"}) == empty + 4
    assert weight({"type": "websocket.send", "bytes": b"ab", "text": None}) == empty + 2
    assert weight({"type": "http.response.body", "body": 3}) == empty
