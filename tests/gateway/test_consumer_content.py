"""What gateways and workers both know of the messages of ASGI 1 consumers (L9)."""

from __future__ import annotations

from bridge.gateway.consumer_content import request_content, session_channel, session_of
from tests.support.gateways import http_scope


def test_the_content_of_a_request() -> None:
    """L9: the keys of ASGI 1; fields that could be taken for others are left out."""
    scope = http_scope("POST", "/a", (b"x_evil", b"1"))
    assert request_content(scope, "bridge.1!s7", b"abc") == {
        "reply_channel": "bridge.1!s7",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/a",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"example.com")],
        "body": b"abc",
        "client": ["127.0.0.1", 4000],
        "server": ["127.0.0.1", 80],
    }


def test_reply_channels_of_sessions() -> None:
    """L9: both sides name the same, and it is none that a layer has made."""
    channel = session_channel("bridge.1!", 7)
    assert channel == "bridge.1!s7"
    assert session_of(channel) == 7
    assert [session_of(each) for each in ("bridge.1!7", "bridge.1!sx", "a")] == [None] * 3
