"""What gateways and workers both know of the messages of ASGI 1 consumers (L9)."""

from __future__ import annotations

from bridge.gateway.consumer_content import session_channel, session_of


def test_reply_channels_of_sessions() -> None:
    """L9: both sides name the same, and it is none that a layer has made."""
    channel = session_channel("bridge.1!", 7)
    assert channel == "bridge.1!s7"
    assert session_of(channel) == 7
    assert [session_of(each) for each in ("bridge.1!7", "bridge.1!sx", "a")] == [None] * 3
