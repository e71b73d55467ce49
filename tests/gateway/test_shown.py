"""How requests are named in the log of gateways and workers."""

from __future__ import annotations

import pytest

from bridge.gateway.shown import shown_request
from tests.support.gateways import socket_scope


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/a/b:c@d", "/a/b:c@d"),
        ("/a b", "/a%20b"),
        ("/\u00e4", "/%C3%A4"),
        ("/%41", "/%2541"),
        ("/\nERROR\x1b[2J", "/%0AERROR%1B%5B2J"),
        ("/\udcff", "/%3F"),
        ("*", "*"),
    ],
)
def test_requests(path: str, shown: str) -> None:
    """L13: a path is percent-encoded, as it was sent."""
    assert shown_request({"method": "POST", "path": path}) == f"POST {shown}"


def test_what_has_no_path() -> None:
    """L13: a WebSocket says that it is one; what has no path shows none."""
    assert shown_request(socket_scope()) == "WebSocket /"
    assert shown_request({"type": "consumer"}) == "WebSocket "
