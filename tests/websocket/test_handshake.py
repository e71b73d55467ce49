"""Opening handshakes by their fields: which are taken, and how they are answered."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.errors import IllegalMessage, RequestError
from bridge.types import RawHeaders
from bridge.websocket.handshake import Handshake, HandshakeParser
from tests.support.websocket import ACCEPT, KEY, frame

# ------------------------------------------------------------- bytes in, bytes out

FIELDS = [
    (b"host", b"example.com"),
    (b"sec-websocket-key", KEY.encode()),
    (b"sec-websocket-version", b"13"),
]


@pytest.mark.parametrize("compress", [True, False])
def test_compression_is_negotiated(compress: bool) -> None:
    """S20 (RFC 7692 §7): with windows of 4 KiB, if it is on and the client offers it."""
    offer = (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits")
    parser = HandshakeParser(1000, compress=compress)
    head = parser.check([*FIELDS, offer], has_body=False).response({}, b"x: y\r\n")
    assert (b"\r\nx: y\r\n" in head, head.endswith(b"\r\n\r\n")) == (True, True)
    chosen = b"\r\nsec-websocket-extensions: permessage-deflate; server_max_window_bits=12; "
    assert (chosen + b"client_max_window_bits=12\r\n" in head) is compress
    plain = parser.check(FIELDS, has_body=False).response({}, b"")
    assert b"extensions" not in plain


def test_the_frames_have_the_limits() -> None:
    """S20: those of a message and of a frame."""
    handshake = HandshakeParser(10, max_frame=5, compress=False).check(FIELDS, has_body=False)
    frames = handshake.frames()
    frames.feed(frame(2, bytes(5)) + frame(2, bytes(6)))
    assert (frames.next_message(), frames.next_message()) == (bytes(5), None)
    assert (frames.closed_with.code, "limit is 5" in frames.closed_with.reason) == (1009, True)
    frames = HandshakeParser(10, compress=False).check(FIELDS, has_body=False).frames()
    frames.feed(frame(2, bytes(10)) + frame(2, bytes(11)))
    assert (frames.next_message(), frames.next_message()) == (bytes(10), None)
    assert (frames.closed_with.code, "limit is 10" in frames.closed_with.reason) == (1009, True)


@pytest.mark.parametrize(
    ("fields", "has_body", "status", "said"),
    [
        (FIELDS, True, 400, "no body"),
        (FIELDS[:2], False, 426, "Sec-WebSocket-Version is ''; 13 is spoken here"),
        ([*FIELDS[:2], (b"sec-websocket-version", b"8")], False, 426, "is '8'"),
        ([FIELDS[2]], False, 400, "malformed WebSocket handshake"),
    ],
)
def test_a_request_that_is_no_handshake(
    fields: RawHeaders, has_body: bool, status: int, said: str
) -> None:
    """S21 A40: the same error on every way."""
    with pytest.raises(RequestError, match=said) as caught:
        HandshakeParser(1000, compress=True).check(fields, has_body=has_body)
    assert caught.value.status == status


def offered(*subprotocols: bytes) -> Handshake:
    """A handshake that offers these."""
    fields = [(b"sec-websocket-protocol", each) for each in subprotocols]
    return HandshakeParser(1000, compress=False).check([*FIELDS, *fields], has_body=False)


def test_the_fields_of_the_app() -> None:
    """S20: its own are in the 101; hop-by-hop fields and those of bodies have no place."""
    headers = [
        (b"Set-Cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"connection", b"close"),
        (b"upgrade", b"h2c"),
        (b"content-length", b"5"),
        (b"transfer-encoding", b"chunked"),
    ]
    handshake = offered(b"v1, v2", b"v3")
    assert handshake.subprotocols == ["v1", "v2", "v3"]
    head = handshake.response({"subprotocol": "v2", "headers": headers}, b"date: now\r\n")
    assert head == (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        b"sec-websocket-accept: " + ACCEPT + b"\r\nsec-websocket-protocol: v2\r\ndate: now\r\n"
        b"Set-Cookie: a=1\r\nset-cookie: b=2\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"headers": [(b"x", b"a\r\nset-cookie: b")]}, "control character"),
        ({"headers": [(b"x\r\ny", b"a")]}, "not a token"),
        ({"headers": [(b"x",)]}, "pair"),
        ({"headers": [("x", "y")]}, "bytes"),
        ({"headers": {b"x": b"y"}}, "pairs"),
        ({"headers": [(b"Sec-WebSocket-Accept", b"y")]}, "the server makes it"),
        ({"headers": [(b"sec-websocket-extensions", b"y")]}, "negotiates"),
        ({"headers": [(b"sec-websocket-protocol", b"v1")]}, "'subprotocol'"),
        ({"subprotocol": "v3"}, "offers v1"),
        ({"subprotocol": "v1\r\nx: y"}, "offers v1"),
        ({"subprotocol": b"v1"}, "offers v1"),
    ],
)
def test_an_accept_that_may_not_be(fields: dict[str, Any], said: str) -> None:
    """S20 S10 A40: nothing is injected; the same errors on every way."""
    with pytest.raises(IllegalMessage, match=said):
        offered(b"v1").response(fields, b"")
