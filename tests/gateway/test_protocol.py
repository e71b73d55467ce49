"""What gateways and workers write to each other."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway import protocol
from bridge.gateway.protocol import Frame, Request, UnreadablePacket, UnreadableRequest
from bridge.gateway.session import Session

_SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/ä",
    "raw_path": b"/%C3%A4",
    "query_string": b"",
    "headers": [(b"host", b"a"), (b"cookie", b"b")],
    "client": ("127.0.0.1", 5000),
    "server": None,
    "state": {"pool": object()},
}
_EVENTS = [{"type": "http.request", "body": b"abc", "more_body": True}]


@pytest.mark.parametrize("left_out", [set(), {"query_string"}, {"method"}])
def test_requests(left_out: set[str]) -> None:
    """L9: a scope comes out as it went in, but for what belongs to the gateway's process."""
    scope = {key: value for key, value in _SCOPE.items() if key not in left_out}
    found = protocol.decode_request(protocol.encode_request(Request("g", 7, scope, _EVENTS)))
    assert found.scope == {key: value for key, value in scope.items() if key != "state"}
    assert (found.gateway, found.session, found.events) == ("g", 7, _EVENTS)


@pytest.mark.parametrize(
    "frame",
    [
        Frame("g", 1, 0, protocol.EVENTS, _EVENTS),
        Frame("g", 1, 0, protocol.EVENTS, [{"type": "a", "headers": [(b"a", b"b")]}]),
        Frame("g", 1, 1, protocol.CREDIT, 65536),
        Frame("g", 1, 2, protocol.TAKEN, protocol.SESSION),
        Frame("g", 1, 3, protocol.END, None),
        Frame("g", 1, 4, protocol.CANCEL, None),
        Frame("g", 1, 0, protocol.ANSWER, (200, ((b"a", b"b"),), b"hello")),
    ],
)
def test_frames(frame: Frame) -> None:
    """L9: each kind of frame comes out as it went in."""
    found = protocol.decode_packet(protocol.encode_packet("w", [frame, frame]))
    assert found == ("w", [frame, frame])


@pytest.mark.parametrize(
    "more",
    [
        {"asgi": {"version": "3.0"}, "extensions": {"http.response.trailers": {}}},
        {"asgi": {"version": "3.0"}, "extensions": {"tls": {"client_cert_chain": ["a"]}}},
        {"asgi": {"version": "3.0"}, "extensions": {"http.response.trailers": None}},
        {"asgi": {"version": "3.0"}, "extensions": {}, "root_path": "/x" * 1000},
        {"asgi": {"version": "3.0"}, "type": "websocket", "subprotocols": ["chat"]},
        {"type": "consumer", "content": {"client": ["127.0.0.1", 1]}},
    ],
)
def test_no_app_sees_what_another_has_changed(more: dict[str, Any]) -> None:
    """L9: what the scopes of many requests have in common is each app's own."""
    scope = {**_SCOPE, **more}
    del scope["state"]
    data = protocol.encode_request(Request("g", 7, scope, []))
    for _ in range(3):
        found = protocol.decode_request(data).scope
        assert found == scope
        for each in found.values():
            if isinstance(each, dict):
                for inner in each.values():
                    if isinstance(inner, dict):
                        inner["changed"] = True
                each["changed"] = True
            elif isinstance(each, list):
                each.append("changed")
        found.clear()


def test_a_whole_body_is_one_event() -> None:
    """L9: a gateway that has all of a body need not say so in words."""
    writer = protocol.RequestWriter("g")
    own = writer.own(writer.shared({"type": "http"}), _OWN_VALUES)
    for session, body in ((1, b""), (2, b"abc")):
        assert protocol.decode_request(writer.end(own, session, body)) == (
            *("g", session),
            {"type": "http", **dict(zip(protocol.OWN, _OWN_VALUES, strict=True))},
            [{"type": "http.request", "body": body, "more_body": False}],
        )


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
        (_packet(["g", 1, 0, protocol.ANSWER, [200, [], "text"]]), "no headers, or no body"),
        (_packet(["g", 1, 0, protocol.ANSWER, [200, None, b""]]), "no headers, or no body"),
        (_packet(["g", True, 0, protocol.END, None]), "a frame is of 'g', True, 0"),
        (_packet([None, 1, 0, protocol.END, None]), "a frame is of None, 1, 0"),
    ],
)
def test_packets_that_are_wrong(data: bytes, said: str) -> None:
    """L13: what is not of this protocol is refused with what is wrong with it."""
    with pytest.raises(UnreadablePacket, match=said):
        protocol.decode_packet(data)


_OWN_VALUES = ("GET", "/", b"/", b"", [(b"a", b"b")], None)
_SHARED = msgpack.packb({"type": "http"})


def _shared(**scope: Any) -> bytes:
    packed: bytes = msgpack.packb({"type": "http", **scope})
    return packed


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (["g", "scope", None, 1, []], "no scope"),
        (["g", b"", None, 1, []], "no msgpack"),
        (["g", msgpack.packb("scope"), None, 1, []], "its scope is 'scope'"),
        (["g", msgpack.packb({}), None, 1, []], "its scope is {}"),
        (["g", _shared(headers=[b"a"]), None, 1, []], "malformed"),
        (["g", _shared(client=3), None, 1, []], "malformed"),
        (["g", _shared(extensions=3), None, 1, []], "extensions is 3, not dict"),
        (["g", _shared(path=b"/"), None, 1, []], "path is b'/', not str"),
        (["g", _SHARED, 3, 1, []], "malformed"),
        (["g", _SHARED, _OWN_VALUES[1:], 1, []], "malformed"),
        (["g", _SHARED, (*_OWN_VALUES[:4], [b"a"], None), 1, []], "malformed"),
        (["g", _SHARED, (*_OWN_VALUES[:4], ["ab"], None), 1, []], "malformed"),
        (["g", _SHARED, (3, *_OWN_VALUES[1:]), 1, []], "malformed: 3 '/' b''"),
        (["g", _SHARED, _OWN_VALUES, 1, {}], "no events"),
        (["g", _SHARED, _OWN_VALUES, 1, [1]], "an event is 1"),
        (["g", _SHARED, _OWN_VALUES, -1, []], "a number is -1"),
    ],
)
def test_requests_that_are_wrong(parts: list[Any], said: str) -> None:
    """L13: a request whose scope is malformed is refused."""
    with pytest.raises(UnreadablePacket, match=said) as raised:
        protocol.decode_request(msgpack.packb([protocol.VERSION, *parts]))
    known = parts[3] == 1
    assert isinstance(raised.value, UnreadableRequest) is known
    if isinstance(raised.value, UnreadableRequest):
        assert (raised.value.gateway, raised.value.session) == ("g", 1)


_DEEP = b"\x91" * 1000 + b"\x01"
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 6) | st.text(max_size=3) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def _parts(*likely: Any) -> st.SearchStrategy[Any]:
    """Lists of what is likely, with something else in some of the places."""
    return st.tuples(*(st.just(each) | _VALUES for each in likely))


_SCOPES = st.dictionaries(
    st.sampled_from(["type", *protocol.OWN, "server", "extensions", "asgi"]), _VALUES, max_size=9
).map(msgpack.packb)
_REQUESTS = st.builds(
    lambda parts, shared: [*parts[:2], shared, *parts[2:]],
    _parts(protocol.VERSION, "g", _OWN_VALUES, 1, [{"type": "http.request"}]),
    _SCOPES | st.just(_SHARED) | _VALUES,
)
_FRAMES = _parts("g", 1, 0, protocol.EVENTS, [{"type": "x"}]) | _parts("g", 1, 0, 1, 5)


@given(_REQUESTS | _VALUES)
def test_any_request(parts: Any) -> None:
    """L13: what comes is a request, or an UnreadablePacket."""
    try:
        request = protocol.decode_request(msgpack.packb(parts))
    except UnreadablePacket:
        return
    assert type(request.scope["type"]) is str


@given(st.tuples(st.just(protocol.VERSION), st.just("w"), st.lists(_FRAMES)) | _VALUES)
def test_any_packet(parts: Any) -> None:
    """L13: what comes is a packet, or an UnreadablePacket; its frames break no session."""
    try:
        packet = protocol.decode_packet(msgpack.packb(parts))
    except UnreadablePacket:
        return
    ends = Session(_Nobody(), "g", 1, "w"), Session(_Nobody(), "w", 1, "g")
    for frame in packet.frames:
        for session in ends:
            session.deliver(frame)


class _Nobody:
    """Where frames go that nobody reads."""

    turn = 0

    def post(self, peer: str, frame: Frame) -> None:
        """Drop it."""

    def forget(self, session: Session) -> None:
        """Nobody keeps them."""


def test_what_is_nested_too_deeply() -> None:
    """L13: it is refused, too."""
    for decode in (protocol.decode_packet, protocol.decode_request):
        for data in (_DEEP, msgpack.packb(protocol.VERSION).join([b"\x96", _DEEP])):
            with pytest.raises(UnreadablePacket):
                decode(data)  # type: ignore[operator]


@given(st.binary())
def test_any_bytes(data: bytes) -> None:
    """L13: no bytes make anything but an UnreadablePacket, or a packet."""
    for decode in (protocol.decode_packet, protocol.decode_request):
        try:
            decode(data)  # type: ignore[operator]
        except UnreadablePacket:
            pass
