"""What gateways and workers write to each other."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway import protocol
from bridge.gateway.protocol import Frame, Request, UnreadablePacket

_SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/ä",
    "raw_path": b"/%C3%A4",
    "headers": [(b"host", b"a"), (b"cookie", b"b")],
    "client": ("127.0.0.1", 5000),
    "server": None,
    "state": {"pool": object()},
}
_EVENTS = [{"type": "http.request", "body": b"abc", "more_body": True}]


def test_requests() -> None:
    """L9: a scope comes out as it went in, but for what belongs to the gateway's process."""
    found = protocol.decode_request(protocol.encode_request(Request("g", 7, dict(_SCOPE), _EVENTS)))
    assert found.scope == {key: value for key, value in _SCOPE.items() if key != "state"}
    assert (found.gateway, found.session, found.events) == ("g", 7, _EVENTS)


@pytest.mark.parametrize(
    "frame",
    [
        Frame("g", 1, 0, protocol.EVENTS, _EVENTS),
        Frame("g", 1, 1, protocol.CREDIT, 65536),
        Frame("g", 1, 2, protocol.TAKEN, protocol.SESSION),
        Frame("g", 1, 3, protocol.END, None),
        Frame("g", 1, 4, protocol.CANCEL, None),
        Frame("g", 1, 0, protocol.ANSWER, [200, [[b"a", b"b"]], b"hello"]),
    ],
)
def test_frames(frame: Frame) -> None:
    """L9: each kind of frame comes out as it went in."""
    found = protocol.decode_packet(protocol.encode_packet("w", [frame, frame]))
    assert found == ("w", [frame, frame])


def _packet(*frames: Any) -> bytes:
    packed: bytes = msgpack.packb([protocol.VERSION, "w", list(frames)])
    return packed


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no msgpack"),
        (b"\xc1", "no msgpack"),
        (msgpack.packb("text"), "should be a list"),
        (msgpack.packb([2, "w", []]), "version 2"),
        (msgpack.packb([1, "w"]), "2 parts"),
        (msgpack.packb([1, "w", 3]), "no frames"),
        (msgpack.packb([1, "", []]), "named ''"),
        (_packet(3), "a frame is 3"),
        (_packet(["g", 1, 0, 9, None]), "unknown kind 9"),
        (_packet(["g", 1, 0, protocol.EVENTS, 3]), "no list of events"),
        (_packet(["g", 1, 0, protocol.EVENTS, [{"a": 1}]]), "an event is"),
        (_packet(["g", 1, 0, protocol.CREDIT, -1]), "a number is -1"),
        (_packet(["g", 1, 0, protocol.TAKEN, "x"]), "'x' runs on the worker"),
        (_packet(["g", 1, 0, protocol.ANSWER, 3]), "a response is 3"),
        (_packet(["g", 1, 0, protocol.ANSWER, [200, [], "text"]]), "a response is"),
        (_packet(["g", True, 0, protocol.END, None]), "a number is True"),
    ],
)
def test_packets_that_are_wrong(data: bytes, said: str) -> None:
    """L13: what is not of this protocol is refused with what is wrong with it."""
    with pytest.raises(UnreadablePacket, match=said):
        protocol.decode_packet(data)


@pytest.mark.parametrize(
    "parts",
    [
        [1, "g", 1, "scope", []],
        [1, "g", 1, {}, {}],
        [1, "g", 1, {"headers": [b"a"]}, []],
        [1, "g", 1, {"headers": [], "client": 3}, []],
        [1, "g", 1, {"headers": []}, [1]],
    ],
)
def test_requests_that_are_wrong(parts: list[Any]) -> None:
    """L13: a request whose scope is malformed is refused."""
    with pytest.raises(UnreadablePacket):
        protocol.decode_request(msgpack.packb(parts))


@given(st.binary())
def test_any_bytes(data: bytes) -> None:
    """L13: no bytes make anything but an UnreadablePacket, or a packet."""
    for decode in (protocol.decode_packet, protocol.decode_request):
        try:
            decode(data)  # type: ignore[operator]
        except UnreadablePacket:
            pass
