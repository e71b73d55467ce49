"""Credits: how much may be under way."""

from __future__ import annotations

from bridge.gateway.credits import WINDOW, Receiving, Sending


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
