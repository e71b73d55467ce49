"""Frames between bytes and messages, without any I/O."""

from __future__ import annotations

import importlib.util
import sys
import zlib
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Close
from websockets.protocol import Protocol, Side, State
from websockets.server import ServerProtocol

from bridge.errors import IllegalMessage
from bridge.websocket.frames import BINARY, TEXT, Frames, Received, frame_header
from tests.support import websocket as wire
from tests.support.websocket import CLOSE, CONTINUATION, PING, RSV1, close_frame, frame


def frames_of(*, max_message: int = 1 << 20, max_frame: int = 0, deflate: bool = False) -> Frames:
    protocol = ServerProtocol(state=State.OPEN, max_size=max_message)
    if deflate:
        protocol.extensions = [PerMessageDeflate(False, False, 15, 15)]
    return Frames(protocol, max_message, max_frame)


def taken(frames: Frames, pieces: Iterable[bytes]) -> list[Received]:
    """Everything that comes out when the pieces go in as a connection feeds them."""
    got: list[Received] = []
    for piece in pieces:
        message = frames.parse_single(piece)
        if message is not None:
            got.append(message)
            continue
        frames.feed(piece)
        while (message := frames.next_message()) is not None:
            got.append(message)
    return got


def failure(*sent: bytes, deflate: bool = False, **limits: int) -> int:
    """The code of the close frame that answers what was sent, whole and byte by byte."""
    codes = set()
    data = b"".join(sent)
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        frames = frames_of(deflate=deflate, **limits)
        taken(frames, pieces)
        assert frames.closed
        assert frames.close_sent is not None
        answer = frames.data_to_send()
        assert answer[0] == 0x80 | CLOSE
        assert int.from_bytes(answer[2:4], "big") == frames.close_sent.code
        codes.add(frames.close_sent.code)
        frames.feed(frame(wire.TEXT, b"after the end"))
        assert frames.next_message() is None
    (code,) = codes
    return code


class Deflater:
    """The client's half of permessage-deflate."""

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(wbits=-15)

    def __call__(self, data: bytes) -> bytes:
        return (self._zlib.compress(data) + self._zlib.flush(zlib.Z_SYNC_FLUSH))[:-4]


# ------------------------------------------------------------- what comes in


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 65535, 65536, 65537])
def test_every_way_of_writing_a_length(size: int) -> None:
    """S20: payloads of 7, 16 and 64 bits of length, text and binary, in one piece and in many."""
    text = "x" * size
    data = frame(wire.TEXT, text.encode()) + frame(wire.BINARY, bytes(size))
    for pieces in ([data], [data[:1], data[1:]], [data[:-1], data[-1:]]):
        assert taken(frames_of(), pieces) == [text, bytes(size)]


SAID = [
    frame(wire.TEXT, "κόσμε".encode()),
    frame(PING, b"are you there?"),
    frame(wire.TEXT, "κό".encode()[:3], fin=False),
    frame(PING),
    frame(CONTINUATION, "κό".encode()[3:] + b"", fin=False),
    frame(wire.PONG, b"unasked"),
    frame(CONTINUATION, "σμε".encode()),
    frame(wire.BINARY, b"\xff" * 300, fin=False),
    frame(CONTINUATION, b"", fin=False),
    frame(CONTINUATION, b"\xfe"),
    frame(wire.TEXT, b""),
    close_frame(1000, "done"),
]
HEARD: list[Received] = ["κόσμε", "κόσμε", b"\xff" * 300 + b"\xfe", "", Close(1000, "done")]


def test_frames_cut_at_every_position() -> None:
    """S20: the same messages come out wherever the bytes are cut."""
    data = b"".join(SAID)
    for at in range(len(data) + 1):
        frames = frames_of()
        assert taken(frames, [data[:at], data[at:]]) == HEARD, at
        assert frames.data_to_send().startswith(b"\x8a\x0eare you there?\x8a\x00\x88")
    assert taken(frames_of(), [data[at : at + 1] for at in range(len(data))]) == HEARD


messages = st.lists(
    st.one_of(st.text(max_size=200), st.binary(max_size=200), st.binary(min_size=126)), max_size=8
)


@given(messages, st.data())
def test_any_messages_in_any_fragments_and_any_pieces(sent: list[str | bytes], data: st.DataObject):
    """S20: what is sent comes out, however it is fragmented and cut, compressed or not."""
    deflate = data.draw(st.booleans())
    compress = Deflater()
    wired = bytearray()
    for message in sent:
        opcode, payload = (
            (wire.TEXT, message.encode()) if isinstance(message, str) else (wire.BINARY, message)
        )
        rsv = RSV1 if deflate and data.draw(st.booleans()) else 0
        payload = compress(payload) if rsv else payload
        cuts = sorted(data.draw(st.lists(st.integers(0, len(payload)), max_size=3)))
        bounds = [0, *cuts, len(payload)]
        parts = [payload[a:b] for a, b in pairwise(bounds)]
        for number, part in enumerate(parts):
            wired += frame(
                CONTINUATION if number else opcode,
                part,
                fin=number == len(parts) - 1,
                rsv=0 if number else rsv,
                mask=data.draw(st.binary(min_size=4, max_size=4)),
            )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wired)), max_size=6)))
    bounds = [0, *cuts, len(wired)]
    pieces = [bytes(wired[a:b]) for a, b in pairwise(bounds)]
    assert taken(frames_of(deflate=deflate), pieces) == sent


@given(st.lists(st.binary(max_size=40), max_size=6), st.booleans())
def test_no_bytes_at_all_make_it_raise(pieces: list[bytes], deflate: bool) -> None:
    """S20: whatever comes, there are messages and an end, never an error of ours."""
    frames = frames_of(deflate=deflate, max_message=1000)
    taken(frames, pieces)
    frames.data_to_send()
    if frames.close_sent is not None and frames.close_received is None:
        assert frames.close_sent.code in (1002, 1007, 1009)


# ------------------------------------------------------------- rules that are broken


@pytest.mark.parametrize("rsv", [wire.RSV1, wire.RSV2, wire.RSV3, 0x70])
@pytest.mark.parametrize("opcode", [wire.TEXT, wire.BINARY, PING, CLOSE])
def test_reserved_bits(rsv: int, opcode: int) -> None:
    """S20: a reserved bit that no extension defines is 1002."""
    assert failure(frame(opcode, b"", rsv=rsv)) == 1002


def test_reserved_bits_with_compression() -> None:
    """S20: RSV1 means compressed, on the first frame of a message only."""
    deflated = Deflater()(b"Hello")
    assert failure(frame(wire.TEXT, deflated, rsv=RSV1 | wire.RSV2), deflate=True) == 1002
    assert failure(frame(PING, b"", rsv=RSV1), deflate=True) == 1002
    begun = frame(wire.TEXT, deflated[:2], rsv=RSV1, fin=False)
    assert failure(begun, frame(CONTINUATION, deflated[2:], rsv=RSV1), deflate=True) == 1002
    assert failure(frame(wire.TEXT, b"\xff\xff\xff\xff", rsv=RSV1), deflate=True) == 1002


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_unknown_opcodes(opcode: int) -> None:
    """S20: an opcode that is not defined is 1002, with and without payload."""
    assert failure(frame(opcode)) == 1002
    assert failure(frame(opcode, b"Hello")) == 1002


@pytest.mark.parametrize(
    "sent",
    [
        (frame(PING, bytes(126)),),
        (frame(PING, b"", fin=False),),
        (frame(CLOSE, b"\x03\xe8", fin=False),),
        (frame(CONTINUATION, b"of nothing"),),
        (frame(wire.TEXT, b"one", fin=False), frame(wire.TEXT, b"another")),
        (frame(wire.BINARY, b"", fin=False), frame(wire.BINARY, b"", fin=False)),
        (frame(wire.TEXT, b"not masked", mask=None),),
        (frame(CLOSE, b"\x03"),),
    ],
)
def test_frames_that_may_not_be(sent: tuple[bytes, ...]) -> None:
    """S20: fragmented or long control frames, fragments out of order, no mask: 1002."""
    assert failure(*sent) == 1002


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000])
def test_close_codes_that_may_not_be_sent(code: int) -> None:
    """S20: a close code that is reserved or out of range is 1002, in the midst of a message too."""
    assert failure(close_frame(code)) == 1002
    assert failure(frame(wire.TEXT, b"x", fin=False), close_frame(code)) == 1002


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4999])
def test_close_codes_that_may_be_sent(code: int) -> None:
    """S20: they come back as they came, with their reason, in the midst of a message too."""
    for begun in (b"", frame(wire.BINARY, b"x", fin=False)):
        frames = frames_of()
        assert taken(frames, [begun + close_frame(code, "so")]) == [Close(code, "so")]
        assert frames.data_to_send() == b"\x88\x04" + code.to_bytes(2, "big") + b"so"
        assert frames.closed


def test_a_close_without_a_code() -> None:
    """S20: an empty close frame is 1005 to the app, and is answered by an empty one."""
    for begun in (b"", frame(wire.TEXT, b"x", fin=False)):
        frames = frames_of()
        assert taken(frames, [begun + frame(CLOSE)]) == [Close(1005, "")]
        assert frames.data_to_send() == b"\x88\x00"


WRONG_TEXTS = [
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",  # a surrogate
    b"\xf4\x90\x80\x80",  # beyond the last code point
    b"\xc0\xaf",  # longer than it must be
    b"\x80",
    b"abc\xff",
    b"\xe2\x82",  # not whole
]


@pytest.mark.parametrize("wrong", WRONG_TEXTS)
def test_text_that_is_not_utf_8(wrong: bytes) -> None:
    """S20: 1007, whole, fragmented anywhere, compressed, long, and in a close reason."""
    assert failure(frame(wire.TEXT, wrong)) == 1007
    assert failure(frame(wire.TEXT, b"x" * 70_000 + wrong)) == 1007
    for at in range(len(wrong) + 1):
        fragments = frame(wire.TEXT, wrong[:at], fin=False) + frame(CONTINUATION, wrong[at:])
        assert failure(fragments) == 1007
    assert failure(frame(wire.TEXT, Deflater()(wrong), rsv=RSV1), deflate=True) == 1007
    assert failure(frame(CLOSE, b"\x03\xe8" + wrong)) == 1007
    assert failure(frame(wire.TEXT, b"", fin=False), frame(CLOSE, b"\x03\xe8" + wrong)) == 1007


def test_wrong_text_is_refused_before_the_frame_is_whole() -> None:
    """S20: as soon as the wrong byte is there, in a first frame and in a continuation."""
    begun = frame(wire.TEXT, b"abc", fin=False)
    for before in (b"", begun):
        opcode = CONTINUATION if before else wire.TEXT
        part = frame(opcode, b"abcde\xff" + b"x" * 1000)[:14]
        frames = frames_of()
        taken(frames, [before, *(part[at : at + 1] for at in range(13))])
        assert not frames.closed
        taken(frames, [part[13:14]])
        assert frames.close_sent is not None
        assert frames.close_sent.code == 1007
    # What is binary, or compressed, is not looked at.
    for first in (wire.BINARY, wire.TEXT):
        frames = frames_of(deflate=True)
        taken(frames, [frame(first, b"\xff" * 100, rsv=0 if first == wire.BINARY else RSV1)[:50]])
        assert not frames.closed


# ------------------------------------------------------------- limits


def test_the_limit_of_a_message() -> None:
    """S20: 1009 beyond it, told from the head alone; in fragments too; the limit itself passes."""
    assert taken(frames_of(max_message=10), [frame(wire.BINARY, bytes(10))]) == [bytes(10)]
    assert failure(frame(wire.BINARY, bytes(11)), max_message=10) == 1009
    assert failure(frame(wire.TEXT, size=2**63 - 1), max_message=10) == 1009
    halves = [frame(wire.BINARY, bytes(5), fin=False), frame(CONTINUATION, bytes(5))]
    assert taken(frames_of(max_message=10), halves) == [bytes(10)]
    assert failure(halves[0], frame(CONTINUATION, bytes(6)), max_message=10) == 1009
    # With a message in the midst, a control frame is not counted to it.
    assert taken(frames_of(max_message=10), [halves[0], frame(PING, bytes(99)), halves[1]])


def test_the_limit_of_a_frame() -> None:
    """S20: 1009 beyond it; a message of many smaller frames may be larger."""
    frames = [frame(wire.BINARY, bytes(4), fin=False), frame(CONTINUATION, bytes(4))]
    assert taken(frames_of(max_frame=4), frames) == [bytes(8)]
    assert failure(frame(wire.BINARY, bytes(5)), max_frame=4) == 1009


def test_what_is_inflated_is_limited() -> None:
    """S20: a bomb of 100 MB in 100 kB is 1009, and no more of it is inflated than the limit."""
    bomb = Deflater()(bytes(100_000_000))
    assert len(bomb) < 100_000
    frames = frames_of(deflate=True, max_message=200_000)
    assert taken(frames, [frame(wire.BINARY, bomb, rsv=RSV1)]) == []
    assert frames.close_sent is not None
    assert frames.close_sent.code == 1009
    small = Deflater()(bytes(1000))
    parts = [
        frame(wire.BINARY, small[:1], rsv=RSV1, fin=False),
        frame(CONTINUATION, small[1:]),
    ]
    assert taken(frames_of(deflate=True, max_message=1000), parts) == [bytes(1000)]
    assert failure(*parts, deflate=True, max_message=999) == 1009


# ------------------------------------------------------------- what goes out


@pytest.mark.parametrize("size", [0, 125, 126, 16383, 16384, 65535, 65536])
def test_messages_that_go_out(size: int) -> None:
    """S20: text and bytes-like objects as one frame each; large ones without a copy."""
    for text, data, payload in (
        ("x" * size, None, b"x" * size),
        (None, bytes(size), bytes(size)),
        (None, bytearray(size), bytes(size)),
        (None, memoryview(bytes(size)), bytes(size)),
    ):
        encoded = frames_of().encode(text, data)
        assert isinstance(encoded, tuple) is (size >= 16384)
        whole = encoded if isinstance(encoded, bytes) else b"".join(encoded)
        assert whole == frame_header(BINARY if text is None else TEXT, size) + payload


@pytest.mark.parametrize(
    ("text", "data", "said"),
    [
        (None, None, "text NoneType and bytes NoneType; one of them must be given"),
        ("a", b"a", "text str and bytes bytes; one of them"),
        (b"a", None, "text must be str"),
        (None, "a", "bytes must be bytes"),
        ("\ud800", None, "cannot be encoded as UTF-8"),
    ],
)
def test_messages_that_may_not_go_out(text: object, data: object, said: str) -> None:
    """S20 A21: the app's error, on every way, which says what was seen."""
    with pytest.raises(IllegalMessage, match=said):
        frames_of().encode(text, data)


def test_messages_that_go_out_compressed() -> None:
    """S20: as the other side reads them, also when it has already closed."""
    frames = frames_of(deflate=True)
    inflate = zlib.decompressobj(wbits=-15)
    for payload in (b"Hello" * 100, b"again" * 100):
        encoded = frames.encode(None, payload)
        assert isinstance(encoded, bytes)
        assert (encoded[0], encoded[1]) == (BINARY | RSV1, len(encoded) - 2)
        assert inflate.decompress(encoded[2:] + b"\0\0\xff\xff") == payload
        taken(frames, [close_frame(1000)])


def test_a_ping_that_goes_out() -> None:
    """S20: an empty one."""
    assert frames_of().ping() == b"\x89\x00"


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65535, b"\x81\x7e\xff\xff"),
        (65536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_heads_that_go_out(size: int, head: bytes) -> None:
    """S20: the shortest way of writing the length, no mask."""
    assert frame_header(TEXT, size) == head
    assert frame_header(BINARY, size) == b"\x82" + head[1:]


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1005, ""), (1006, ""), (1015, ""), (0, ""), (999, ""), (1000, "x" * 124), (70000, "")],
)
def test_a_close_that_the_app_may_not_send(code: int, reason: str) -> None:
    """S20: reserved codes and reasons of more than 123 bytes are the app's error."""
    with pytest.raises(IllegalMessage, match="close"):
        frames_of().close(code, reason)


@pytest.mark.parametrize(
    ("code", "reason"), [("1000", ""), (1000, b"x"), (1000, None), (1000, "\ud800")]
)
def test_a_close_that_is_none(code: object, reason: object) -> None:
    """S20: a code that is no int, or a reason that is no text or cannot be encoded."""
    with pytest.raises(IllegalMessage, match="close code"):
        frames_of().close(code, reason)


def test_one_close_frame_leaves_at_most() -> None:
    """S20: what closes first is what both sides are told; a second close adds nothing."""
    frames = frames_of()
    assert frames.close(None) == b"\x88\x00"
    assert frames.close(3000, "late") == b""
    assert frames.closed_with == Close(1005, "")
    frames = frames_of()
    taken(frames, [close_frame(3001, "first")])
    assert frames.close(3000, "late") == b"\x88\x07\x0b\xb9first"
    assert frames.closed_with == Close(3001, "first")


def test_messages_end_with_our_own_close_frame_but_the_clients_is_read() -> None:
    """S20: after our close frame, pings are still answered, and the client's close ends it."""
    frames = frames_of()
    assert frames.close(4000, "enough") == b"\x88\x08\x0f\xa0enough"
    taken(frames, [frame(PING, b"x")])
    assert frames.data_to_send() == b"\x8a\x01x"
    assert not frames.closed
    assert taken(frames, [close_frame(4000)]) == [Close(4000, "")]
    assert frames.closed
    assert frames.data_to_send() == b""


def test_very_many_frames_are_taken_in_turns() -> None:
    """S20: frames that make no message are looked at some hundred at a time, in their order."""
    frames = frames_of()
    empty = frame(CONTINUATION, fin=False)
    sent = frame(PING, b"1") * 400 + frame(wire.BINARY, b"x", fin=False) + empty * 1000
    frames.feed(sent + frame(CONTINUATION, b"y") + frame(wire.TEXT, b"next"))
    turns = 0
    while (message := frames.next_message()) is None:
        assert frames.has_more
        turns += 1
    assert turns == 2
    assert (message, frames.next_message(), frames.next_message()) == (b"xy", "next", None)
    assert not frames.has_more
    assert frames.data_to_send() == b"\x8a\x011" * 400


# ------------------------------------------------------------- the other side


def client_frames(**limits: int) -> Frames:
    """The frames of a client: of the WSGI adapter, towards the app behind it."""
    protocol = Protocol(Side.CLIENT, state=State.OPEN, max_size=None)
    return Frames(protocol, limits.get("max_message", 0), limits.get("max_frame", 0))


def test_a_client_reads_what_is_not_masked() -> None:
    """W60: the same messages come out, wherever the bytes are cut; pings are answered, masked."""
    data = frame(wire.TEXT, "κόσ".encode(), fin=False, mask=None) + frame(PING, b"x", mask=None)
    data += frame(CONTINUATION, "με".encode(), mask=None)
    data += frame(wire.BINARY, bytes(70_000), mask=None) + frame(wire.TEXT, bytes(200), mask=None)
    close = b"\x88\x06\x0f\xa0done"
    for at in (*range(30), 40, 70_020, len(data)):
        frames = client_frames()
        got = taken(frames, [data[:at], data[at:] + close])
        assert got == ["κόσμε", bytes(70_000), "\0" * 200, Close(4000, "done")]
        server = frames_of()
        sent = taken(server, [frames.data_to_send()])
        assert (sent, frames.closed, server.closed) == ([Close(4000, "done")], True, True)


def test_a_client_masks_what_it_sends() -> None:
    """W60 (RFC 6455 §5.3): our server side reads it."""
    frames, server = client_frames(), frames_of()
    for text, data in (("text", None), (None, bytes(70_000)), ("", None)):
        encoded = frames.encode(text, data)
        assert isinstance(encoded, bytes)
        assert encoded[1] & 0x80
        assert taken(server, [encoded]) == [data if text is None else text]
    assert taken(server, [frames.ping()]) == []
    assert server.data_to_send() == b"\x8a\x00"
    assert taken(server, [frames.close(3000, "bye")]) == [Close(3000, "bye")]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(wire.TEXT, b"masked"), 1002),
        (frame(wire.TEXT, b"ab\xff" + b"x" * 20, mask=None), 1007),
    ],
)
def test_a_server_that_breaks_the_rules(sent: bytes, code: int) -> None:
    """W60: a frame that is masked, and text that is no UTF-8, before it is whole."""
    for pieces in ([sent], [sent[:8]], [sent[at : at + 1] for at in range(len(sent))]):
        frames = client_frames()
        assert taken(frames, pieces) == []
        assert frames.closed
        assert frames.closed_with.code == code


def test_a_library_without_its_extension_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """S20: where `websockets` was installed without a compiler, masks are applied by Python."""
    monkeypatch.setitem(sys.modules, "websockets.speedups", None)
    spec = importlib.util.find_spec("bridge.websocket.frames")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    protocol = ServerProtocol(state=State.OPEN)
    frames = module.Frames(protocol, 1000, 0)
    assert frames.parse_single(frame(wire.TEXT, b"slow")) == "slow"
