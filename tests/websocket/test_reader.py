"""From bytes to messages, and the pauses of reading: lists of bytes, a transport that notes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from websockets.protocol import State
from websockets.server import ServerProtocol

from bridge.websocket.frames import Frames
from bridge.websocket.reader import QUEUE_FULL, WRITES_PAUSED, MessageReader
from tests.support.websocket import BINARY, CONTINUATION, PING, TEXT, close_frame, frame


class Way:
    """A reader, what it is connected to, and what it did: a transport, a loop, an app's queue."""

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.received: list[str | bytes] = []
        self.soon: deque[Callable[[], None]] = deque()
        self.outputs = 0
        self.reading = True
        self.closing = False
        protocol = ServerProtocol(state=State.OPEN, max_size=1 << 20)
        self.frames = Frames(protocol, 1 << 20, 0)
        self.reader = MessageReader(self.frames, self, self.soon.append, self.put, self.on_output)

    def put(self, message: str | bytes) -> bool:
        self.received.append(message)
        return len(self.received) >= self.room

    def on_output(self) -> None:
        self.outputs += 1
        self.frames.data_to_send()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closing

    def turn(self) -> None:
        self.soon.popleft()()


def text(number: int) -> bytes:
    return frame(TEXT, str(number).encode())


@pytest.mark.parametrize("cut", [1, 2, 7, 10_000])
def test_messages_come_out_however_the_bytes_are_cut(cut: int) -> None:
    """S20: messages in their order; output is announced for pings and for the close."""
    way = Way()
    data = text(1) + frame(PING, b"x") + frame(BINARY, b"two", fin=False)
    data += frame(CONTINUATION, b"!") + close_frame(1000)
    for at in range(0, len(data), cut):
        way.reader.feed(data[at : at + cut])
    assert way.received == ["1", b"two!"]
    assert way.outputs == (2 if cut < 10_000 else 1)
    assert way.frames.closed
    way.reader.feed(text(2))
    assert way.received == ["1", b"two!"]


def test_reading_pauses_while_the_queue_is_full() -> None:
    """S20 A20: what came waits in the frames, and is taken when there is room."""
    way = Way(room=2)
    way.reader.feed(text(1) + text(2) + text(3) + text(4) + text(5))
    assert (way.received, way.reading) == (["1", "2"], False)
    way.received.clear()
    way.reader.resume(QUEUE_FULL)
    assert (way.received, way.reading) == (["3", "4"], False)
    way.received.clear()
    way.reader.resume(QUEUE_FULL)
    assert (way.received, way.reading) == (["5"], True)


def test_reading_goes_on_when_no_reason_to_pause_is_left() -> None:
    """S20: a full queue and a client that takes no pongs are two reasons."""
    way = Way(room=1)
    way.reader.feed(text(1))
    way.reader.pause(WRITES_PAUSED)
    way.received.clear()
    way.reader.resume(QUEUE_FULL)
    assert not way.reading
    way.reader.resume(WRITES_PAUSED)
    assert way.reading
    way.reading = False
    way.reader.resume(WRITES_PAUSED)  # it was no reason
    assert not way.reading


def test_others_have_their_turn_between_very_many_frames() -> None:
    """S20: some hundred frames without a message at a time; reading pauses meanwhile."""
    way = Way()
    tiny = frame(CONTINUATION, b"x", fin=False)
    way.reader.feed(frame(TEXT, b"x", fin=False) + tiny * 1200 + frame(CONTINUATION, b"y"))
    turns = 0
    while way.soon:
        assert (way.reading, way.received) == (False, [])
        way.turn()
        turns += 1
    assert turns == 2
    assert (way.reading, way.received) == (True, ["x" * 1201 + "y"])


def test_others_turn_is_asked_for_once() -> None:
    """S20: more bytes during the pause do not ask for a second turn."""
    way = Way()
    tiny = frame(CONTINUATION, b"", fin=False)
    way.reader.feed(frame(TEXT, b"x", fin=False) + tiny * 1200)
    way.reader.feed(tiny * 600)
    assert len(way.soon) == 1


@pytest.mark.parametrize("end", ["closed", "lost"])
def test_a_turn_after_the_end_takes_nothing(end: str) -> None:
    """S20: the WebSocket was closed, or its transport, while others had their turn."""
    way = Way()
    tiny = frame(CONTINUATION, b"", fin=False)
    way.reader.feed(frame(TEXT, b"x", fin=False) + tiny * 600 + frame(CONTINUATION, b"y"))
    if end == "closed":
        way.frames.fail(1011, "")
    else:
        way.closing = True
    way.turn()
    assert (way.received, way.reading) == ([], end == "closed")
    assert not way.soon


def test_a_transport_that_closes_is_left_alone() -> None:
    """S20: neither paused for others, nor resumed."""
    way = Way()
    way.closing = True
    way.reader.feed(frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"", fin=False) * 600)
    assert (way.reading, len(way.soon)) == (True, 0)
    way.reading = False
    way.reader.read_to_end()
    assert not way.reading


def test_after_our_close_frame_messages_are_dropped() -> None:
    """S20: only the client's close frame is of interest, behind any messages."""
    way = Way(room=1)
    way.frames.close(1000)
    way.reader.discard()
    way.reader.feed(text(1) * 10)
    assert (way.received, way.reading, way.frames.closed) == ([], True, False)
    way.reader.feed(close_frame(1000))
    assert way.frames.closed


def test_at_the_end_everything_is_read() -> None:
    """S20: whatever the pauses were, so that the client gets to read our close frame."""
    way: Any = Way(room=1)
    way.reader.feed(text(1))
    way.reader.pause(WRITES_PAUSED)
    way.reader.read_to_end()
    assert way.reading
