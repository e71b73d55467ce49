"""One side of a session, and both."""

from __future__ import annotations

import asyncio
import gc
import weakref
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import LayerUnavailable
from bridge.gateway import protocol
from bridge.gateway.credits import WINDOW
from bridge.gateway.endings import Endings
from bridge.gateway.protocol import Frame
from bridge.gateway.session import LOST, Session, SessionLost, SessionOver
from bridge.types import Message

GATEWAY, WORKER = "g.1", "w.1"


class Wire:
    """Keeps what one end writes until it is delivered to the other."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.ended: list[Session] = []
        self.broken = False
        self.endings = Endings()
        self.turn = 0

    def post(self, peer: str, frame: Frame) -> None:
        """Take a frame."""
        if self.broken:
            raise LayerUnavailable("it is gone")
        self.frames.append(frame)

    def forget(self, session: Session) -> None:
        """Note the end."""
        self.ended.append(session)

    def deliver(self, to: Session) -> None:
        """Deliver all that was written."""
        self.turn += 1
        frames, self.frames = self.frames, []
        for frame in frames:
            to.deliver(frame)


def ends(first: list[Message] | None = None) -> tuple[Session, Wire, Session, Wire]:
    """A gateway's end and a worker's, each with what it writes."""
    of_gateway, of_worker = Wire(), Wire()
    gateway = Session(of_gateway, GATEWAY, 7, WORKER)
    worker = Session(of_worker, GATEWAY, 7, GATEWAY)
    events = [_body(b"")] if first is None else first
    gateway.pay_first(events)
    worker.take_first(events)
    return gateway, of_gateway, worker, of_worker


def _body(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def test_events_come_as_they_were_sent() -> None:
    """L9: a request's first events, and an answer, and the end of the app."""

    async def main() -> None:
        gateway, _, worker, written = ends([{"type": "http.request", "body": b"x"}])
        assert await worker.read() == {"type": "http.request", "body": b"x"}
        taken: list[int] = []
        gateway.on_taken()  # nothing, by default
        gateway.on_taken = lambda: taken.append(1)
        worker.write(protocol.TAKEN, protocol.SESSION)
        await worker.send(_body(b"hello"))
        worker.write(protocol.END, None)
        assert [frame.number for frame in written.frames] == [0, 1, 2]
        assert worker.over is not None
        written.deliver(gateway)
        assert (gateway.runs, taken) == (protocol.SESSION, [1])
        assert await gateway.read() == _body(b"hello")
        assert await gateway.read() is None
        assert gateway.over is not None
        assert (gateway.over.how, gateway.over.text) == (protocol.END, None)
        written.frames = [Frame(GATEWAY, 7, 3, protocol.EVENTS, [_body(b"late")])]
        written.deliver(gateway)
        assert gateway.take() is None

    asyncio.run(main())


def test_events_of_one_turn_are_one_frame() -> None:
    """L9: what leaves together is one frame, in order; nothing joins a frame that has left."""

    async def main() -> None:
        gateway, _, worker, written = ends()
        await worker.send(_body(b"1", more=True))
        await worker.send(_body(b"2", more=True))
        worker.write(protocol.CREDIT, 1)
        await worker.send(_body(b"3", more=True))
        sizes = [len(each.payload) for each in written.frames if each.kind == protocol.EVENTS]
        assert sizes == [2, 1]
        written.deliver(gateway)
        await worker.send(_body(b"4"))
        assert len(written.frames) == 1
        written.deliver(gateway)
        got = [(await gateway.read() or {})["body"] for _ in range(4)]
        assert got == [b"1", b"2", b"3", b"4"]

    asyncio.run(main())


def test_a_reader_is_woken() -> None:
    """L9: who waits for an event gets it, and hears of the end."""

    async def main() -> None:
        gateway, _, worker, written = ends()
        waiting = asyncio.ensure_future(gateway.read())
        await asyncio.sleep(0)
        await worker.send(_body(b"1"))
        written.deliver(gateway)
        assert await waiting == _body(b"1")
        waiting = asyncio.ensure_future(gateway.read())
        await asyncio.sleep(0)
        worker.write(protocol.END, "it failed")
        written.deliver(gateway)
        assert await waiting is None
        assert gateway.over == (protocol.END, "it failed", None)

    asyncio.run(main())


def test_a_writer_waits_for_credit() -> None:
    """L9: no more than a window is under way; the rest follows as the reader takes it."""

    async def main() -> None:
        gateway, credits, worker, written = ends()
        data = bytes(range(256)) * (3 * WINDOW // 256) + b"end"
        sending = asyncio.ensure_future(worker.send(_body(data)))
        got, most = b"", 0
        while not sending.done() or written.frames:
            await asyncio.sleep(0)
            sizes = [len(each["body"]) for frame in written.frames for each in frame.payload]
            most = max(most, sum(sizes))
            written.deliver(gateway)
            while (event := gateway.take()) is not None:
                got += event["body"]
                last = event
            credits.deliver(worker)
        assert got == data
        assert most <= WINDOW
        assert last["more_body"] is False

    asyncio.run(main())


def test_the_end_wakes_a_writer() -> None:
    """L9: a writer that waits for credit does not hang when the session ends."""

    async def main() -> None:
        gateway, written, worker, _ = ends()
        await worker.send(_body(b"x" * WINDOW, more=True))
        sending = asyncio.ensure_future(worker.send(_body(b"y")))
        await asyncio.sleep(0)
        assert not sending.done()
        gateway.write(protocol.CANCEL, None)
        written.deliver(worker)
        with pytest.raises(SessionOver):
            await sending
        with pytest.raises(SessionOver):
            await worker.send(_body(b"z"))
        assert worker.over is not None
        assert isinstance(worker.over.error, SessionLost)

    asyncio.run(main())


def test_nothing_is_read_before_it_is_wanted() -> None:
    """L9: without first events, a gateway may write when the app has asked (100-continue)."""

    async def main() -> None:
        gateway, written, worker, wanted = ends([])
        sending = asyncio.ensure_future(gateway.send({"type": "http.request", "body": b"x"}))
        await asyncio.sleep(0)
        assert not sending.done()
        assert worker.take() is None
        assert worker.take() is None
        assert [frame.payload for frame in wanted.frames] == [WINDOW]
        wanted.deliver(gateway)
        await sending
        written.deliver(worker)
        assert worker.take() == {"type": "http.request", "body": b"x"}

    asyncio.run(main())


def test_a_gap_ends_it() -> None:
    """L13: if Redis has lost a frame, both sides know that the session is broken."""

    async def main() -> None:
        gateway, told, worker, written = ends()
        await worker.send(_body(b"1", more=True))
        written.turn += 1
        await worker.send(_body(b"2", more=True))
        del written.frames[0]
        written.deliver(gateway)
        assert gateway.over is not None
        assert gateway.over.how == LOST
        assert "frame 1 came, and 0 was due" in str(gateway.over.error)
        assert told.ended == [gateway]
        told.deliver(worker)
        assert worker.over is not None
        assert worker.over.how == protocol.CANCEL

    asyncio.run(main())


def test_cancel_counts_whatever_its_number() -> None:
    """L10: a process that has lost a session does not know how far it was."""
    gateway, _, _, _ = ends()
    gateway.deliver(Frame(GATEWAY, 7, 99, protocol.CANCEL, None))
    assert gateway.over is not None
    assert gateway.over.how == protocol.CANCEL


def test_losing_and_leaving() -> None:
    """L10: the other side is told of a loss if it can be, and never of a session that was left."""
    error = SessionLost("gone")
    gateway, written, _, _ = ends()
    gateway.lose(error)
    gateway.lose(SessionLost("again"))
    assert gateway.over == (LOST, None, error)
    assert [frame.kind for frame in written.frames] == [protocol.CANCEL]

    gateway, written, _, _ = ends()
    written.broken = True
    gateway.lose(error)
    assert gateway.over == (LOST, None, error)

    gateway, written, _, _ = ends()
    gateway.peer = ""
    gateway.lose(error)
    gateway.write(protocol.CREDIT, 1)
    gateway.leave()
    assert written.frames == []

    gateway, written, _, _ = ends()
    gateway.leave()
    gateway.leave()
    assert gateway.over == (protocol.END, None, None)
    assert written.frames == []

    gateway, written, _, _ = ends()
    gateway.peer = ""
    gateway.write(protocol.CANCEL, None)
    assert gateway.over == (protocol.CANCEL, None, None)
    assert written.frames == []


def test_a_whole_response() -> None:
    """L9: one frame is taken as an answer from its start to its end."""
    gateway, _, worker, written = ends()
    taken: list[int] = []
    gateway.on_taken = lambda: taken.append(1)
    worker.write(protocol.ANSWER, [200, [(b"a", b"b")], b"hello"])
    assert worker.over == (protocol.END, None, None)
    written.deliver(gateway)
    assert (taken, gateway.runs) == ([1], protocol.SESSION)
    start = {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]}
    assert gateway.take() == start
    assert gateway.take() == {"type": "http.response.body", "body": b"hello"}
    assert (gateway.take(), gateway.over) == (None, (protocol.END, None, None))


def test_a_gateway_that_answers() -> None:
    """L13: only workers do."""
    gateway, written, worker, _ = ends()
    gateway.write(protocol.ANSWER, [200, [], b""])
    written.deliver(worker)
    assert worker.over is not None
    assert "has sent a response" in str(worker.over.error)


@given(st.lists(st.binary(max_size=3 * WINDOW) | st.text(max_size=2000), max_size=6))
def test_whatever_is_sent_arrives(payloads: list[bytes | str]) -> None:
    """L9: data of any size comes out whole and in order, and no credit is lost on the way."""

    async def main() -> None:
        gateway, credits, worker, written = ends()
        for data in payloads:
            key = "body" if isinstance(data, bytes) else "text"
            sending = asyncio.ensure_future(worker.send({"type": "any", key: data}))
            got: list[bytes | str] = []
            while not sending.done() or written.frames:
                await asyncio.sleep(0)
                written.deliver(gateway)
                while (event := gateway.take()) is not None:
                    got.append(event[key])
                credits.deliver(worker)
            assert type(data)().join(got) == data  # type: ignore[arg-type]

    asyncio.run(main())


@pytest.mark.parametrize("kind", [protocol.TAKEN, protocol.CANCEL])
def test_a_session_goes_when_its_last_user_has_gone(kind: int) -> None:
    """What is called when it is taken may hold the session, and is not kept after that."""

    async def main() -> None:
        gateway, ending, worker, written = ends()
        gateway.on_taken = partial(gateway.write, protocol.CREDIT, 1)
        worker.write(kind, protocol.SESSION if kind == protocol.TAKEN else None)
        gc.disable()
        try:
            written.deliver(gateway)
            kept = weakref.ref(gateway)
            del gateway
            ending.ended.clear()
            assert kept() is None
        finally:
            gc.enable()

    asyncio.run(main())
