"""The two queues between the loop and an app's thread, and how each side sleeps."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.adapters.wsgi_on_asgi.request_body import RequestBody
from bridge.adapters.wsgi_on_asgi.thread_queues import Inbox, LoopSignal, ThreadGate, ThreadOutbox
from bridge.errors import ClientDisconnected
from bridge.runners.completions import CompletionQueue
from bridge.types import Message


def piece(data: bytes) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": True}


def body_of(*pieces: bytes) -> RequestBody:
    coming = [
        {"type": "http.request", "body": data, "more_body": number < len(pieces)}
        for number, data in enumerate(pieces, 1)
    ]

    async def receive() -> Message:
        return coming.pop(0) if coming else {"type": "http.disconnect"}

    return RequestBody(receive)


def signal_here() -> LoopSignal:
    return LoopSignal(CompletionQueue(asyncio.get_running_loop()))


# ------------------------------------------------------------- how each side sleeps


@pytest.mark.parametrize("way", ["wake", "wake_with_others"])
def test_a_thread_wakes_the_loop(way: str) -> None:
    """W50: once for each sleep, however often it has news."""

    async def run() -> None:
        signal = signal_here()
        await asyncio.to_thread(getattr(signal, way))
        await signal.sleep()
        await asyncio.to_thread(getattr(signal, way))  # nobody sleeps
        sleeping = asyncio.ensure_future(signal.sleep_unless(lambda: False))
        await asyncio.sleep(0)
        assert not sleeping.done()
        await asyncio.to_thread(getattr(signal, way))
        await sleeping
        signal.on_completed()  # a wake-up that comes late

    asyncio.run(run())


def test_a_callback_stands_for_the_first_sleep() -> None:
    """W50: it is called on the loop, once; whoever sleeps after that does not wait again."""

    async def run() -> None:
        signal, called = signal_here(), asyncio.Event()
        signal.first = called.set
        await asyncio.to_thread(signal.wake_with_others)
        await called.wait()
        await signal.sleep()
        called.clear()
        signal.on_completed()
        assert not called.is_set()
        taken_over = signal_here()
        taken_over.first = called.set
        sleeping = asyncio.ensure_future(taken_over.sleep())
        await asyncio.sleep(0)
        await asyncio.to_thread(taken_over.wake)
        await sleeping
        assert not called.is_set()

    asyncio.run(run())


def test_no_sleep_if_there_is_news() -> None:
    """W50: what came before the loop goes to sleep is seen; others get their turn."""

    async def run() -> None:
        turns: list[int] = []
        asyncio.get_running_loop().call_soon(turns.append, 1)
        await signal_here().sleep_unless(lambda: True)
        assert turns == [1]

    asyncio.run(run())


def test_a_loop_that_has_closed() -> None:
    """W50: a thread that outlives the loop is told so."""

    async def run() -> LoopSignal:
        return signal_here()

    signal = asyncio.run(run())
    with pytest.raises(ClientDisconnected, match="loop has closed"):
        signal.wake()


def test_a_gate() -> None:
    """W50: the thread looks again after each wake-up; one without a sleeper is harmless."""

    async def run() -> None:
        gate, looks, here = ThreadGate(), [], asyncio.Event()
        loop, news = asyncio.get_running_loop(), [False]
        gate.wake()

        def ready() -> bool:
            looks.append(news[0])
            if len(looks) == 2:
                loop.call_soon_threadsafe(here.set)
            return looks[-1]

        asleep = asyncio.ensure_future(asyncio.to_thread(gate.sleep_until, ready))
        await here.wait()
        news[0] = True
        while not asleep.done():
            gate.wake()
            await asyncio.sleep(0)
        await asleep
        assert looks[:2] == [False, False]
        assert looks[-1]

    asyncio.run(run())


# ------------------------------------------------------------- from the thread to the loop


def test_messages_leave_in_their_order() -> None:
    """W39: each is there until the host has taken it."""
    sent: list[Any] = []

    async def send(message: Message) -> None:
        assert outbox, "it waits while it is sent"
        sent.append(message)

    outbox = ThreadOutbox(send)
    assert not outbox
    outbox.put({"type": "http.response.start"})
    assert not outbox.has_body
    outbox.put(piece(b"a"))
    assert outbox.has_body

    async def run() -> None:
        while outbox:
            await outbox.send_first()

    asyncio.run(run())
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    outbox.flush()
    outbox.wait_for_room()


@pytest.mark.parametrize("wait", [ThreadOutbox.wait_for_room, ThreadOutbox.flush])
def test_a_thread_waits_for_a_slow_client(wait: Any) -> None:
    """W39: while more than 64 KiB wait, or until all was sent."""

    async def send(message: Message) -> None: ...

    async def run() -> None:
        outbox = ThreadOutbox(send)
        outbox.put(piece(b"x" * 65536))
        outbox.put(piece(b"x"))
        waiting = asyncio.ensure_future(asyncio.to_thread(wait, outbox))
        await asyncio.sleep(0)
        while outbox:
            await outbox.send_first()
        await waiting

    asyncio.run(run())


def test_a_thread_goes_on_before_all_was_sent() -> None:
    """W39: when there is room for some pieces, not for one."""

    async def send(message: Message) -> None: ...

    async def run() -> None:
        outbox = ThreadOutbox(send)
        for _ in range(4):
            outbox.put(piece(b"x" * 20000))
        waiting = asyncio.ensure_future(asyncio.to_thread(outbox.wait_for_room))
        await asyncio.sleep(0)
        for _ in range(3):
            await outbox.send_first()
        await waiting
        assert outbox

    asyncio.run(run())


@pytest.mark.parametrize("wait", [ThreadOutbox.wait_for_room, ThreadOutbox.flush])
def test_a_thread_hears_that_its_client_has_left(wait: Any) -> None:
    """W40: it does not wait for a client that is gone."""

    async def send(message: Message) -> None: ...

    outbox = ThreadOutbox(send)
    outbox.put(piece(b"x" * 70000))
    outbox.close()
    with pytest.raises(ClientDisconnected, match="the client is gone"):
        wait(outbox)


# ------------------------------------------------------------- from the loop to the thread


def test_a_body_comes_through() -> None:
    """W21: in its pieces, at most 32 KiB ahead of the app, and then its end again and again."""
    pieces = [b"a", b"x" * 40000, b"b", b"y" * 40000, b"c"]

    async def run() -> None:
        inbox = Inbox(body_of(*pieces), signal_here())
        filling = asyncio.ensure_future(inbox.fill())

        def read() -> list[bytes]:
            taken = list(iter(inbox.pull, b""))
            assert inbox.pull() == b""
            return taken

        assert await asyncio.to_thread(read) == pieces
        await filling

    asyncio.run(run())


def test_the_loop_reads_no_further_than_the_app() -> None:
    """W21: a body that the app does not read stays with the host."""

    async def run() -> None:
        body = body_of(b"x" * 40000, b"rest")
        inbox = Inbox(body, signal_here())
        filling = asyncio.ensure_future(inbox.fill())
        await asyncio.sleep(0)
        assert body.received == 40000
        filling.cancel()

    asyncio.run(run())


def test_a_reader_that_is_called_twice() -> None:
    """W21: a thread that takes two pieces before the loop goes on has the next one read once."""

    async def run() -> None:
        body = body_of(b"x" * 20000, b"y" * 20000, b"z")
        inbox = Inbox(body, signal_here())
        filling = asyncio.ensure_future(inbox.fill())
        await asyncio.sleep(0)
        assert body.received == 40000
        assert inbox.pull() + inbox.pull() == b"x" * 20000 + b"y" * 20000
        await filling
        assert (inbox.pull(), inbox.pull()) == (b"z", b"")

    asyncio.run(run())


def test_a_piece_that_is_taken_just_before_the_loop_waits() -> None:
    """W21: the loop looks once more when it has said that it waits, and reads on."""

    class Loop(asyncio.SelectorEventLoop):
        def create_future(self) -> asyncio.Future[Any]:
            while inboxes:
                assert len(inboxes.pop().pull()) == 40000
            return super().create_future()

    inboxes: list[Inbox] = []

    async def run() -> None:
        inbox = Inbox(body_of(b"x" * 40000, b"rest"), signal_here())
        inboxes.append(inbox)
        await inbox.fill()
        assert (inbox.pull(), inbox.pull()) == (b"rest", b"")

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(run())


def test_a_body_that_breaks_off() -> None:
    """W23: what came before is read, then the first error is raised at every read."""

    async def run() -> None:
        inbox = Inbox(body_of(), signal_here())
        with pytest.raises(ClientDisconnected):
            await inbox.fill()
        inbox.fail(ClientDisconnected("first"))
        inbox.fail(ClientDisconnected("second"))
        for _ in range(2):
            with pytest.raises(ClientDisconnected, match="first"):
                inbox.pull()

    asyncio.run(run())
