"""The queue of events that a WebSocket's app receives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bridge.asgi.receive_queue import ReceiveQueue
from bridge.limits import HIGH_WATER
from bridge.types import Message

CONNECT = {"type": "websocket.connect"}


def disconnect(code: int, reason: str = "") -> Message:
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


async def connected(most: int = 32) -> ReceiveQueue:
    queue = ReceiveQueue(most)
    assert await queue.receive() == CONNECT
    return queue


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


def test_events_in_their_order_and_the_disconnect_after_them() -> None:
    """S20: text and bytes as their messages; the first end is told, as often as it is asked for."""

    async def test() -> None:
        queue = await connected()
        queue.put("text")
        queue.put(b"bytes")
        queue.end(1000, "bye")
        queue.end(1006)
        assert await queue.receive() == {"type": "websocket.receive", "text": "text"}
        assert await queue.receive() == {"type": "websocket.receive", "bytes": b"bytes"}
        first = await queue.receive()
        assert first == disconnect(1000, "bye")
        first["code"] = 1  # the app's own: the next is not changed by that
        assert await queue.receive() == disconnect(1000, "bye")

    run(test)


def test_an_app_that_asks_for_ever_leaves_the_loop_to_others() -> None:
    """S20 A26: the pauses grow between one disconnect and the next."""

    async def test() -> None:
        queue = await connected()
        queue.end(1006)
        others = 0

        async def count() -> None:
            nonlocal others
            while True:
                others += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        for _ in range(5):
            await queue.receive()
        counting.cancel()
        assert others > 1

    run(test)


@pytest.mark.parametrize("end", ["message", "disconnect"])
def test_receive_waits(end: str) -> None:
    """S20: for a message, or for the end."""

    async def test() -> None:
        queue = await connected()
        waiting = asyncio.create_task(queue.receive())
        await asyncio.sleep(0)
        assert not waiting.done()
        if end == "message":
            assert queue.put("x") is False  # a task waits for it, so that nothing waits
            assert (await waiting)["text"] == "x"
        else:
            queue.end(1006)
            assert await waiting == disconnect(1006)

    run(test)


def test_several_tasks_wait_and_one_is_cancelled() -> None:
    """S20: each message goes to one task, and none is lost with a task that is cancelled."""

    async def test() -> None:
        queue = await connected()
        tasks = [asyncio.create_task(queue.receive()) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        queue.put("a")
        queue.put("b")
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert sorted([(await tasks[1])["text"], (await tasks[2])["text"]]) == ["a", "b"]

    run(test)


@pytest.mark.parametrize(
    ("size", "most", "taken"), [(1, 8, 8), (HIGH_WATER // 2, 8, 2), (HIGH_WATER, 8, 1)]
)
def test_it_is_full_at_a_number_of_messages_and_of_bytes(size: int, most: int, taken: int) -> None:
    """S20 A20: and has room again when the app has taken all that waits."""

    async def test() -> None:
        queue = await connected(most)
        rooms = 0

        def on_drained() -> None:
            nonlocal rooms
            rooms += 1

        queue.call_when_drained(on_drained)
        for _ in range(2):
            number = 1
            while not queue.put(bytes(size)):
                number += 1
            assert (number, queue.full) == (taken, True)
            for _ in range(number):
                await queue.receive()
            assert not queue.full
        assert rooms == 2

    run(test)


def test_what_waits_can_be_dropped() -> None:
    """S20: an app that has closed gets no more messages, and the client may send on."""

    async def test() -> None:
        queue = await connected(1)
        assert queue.put("x")
        rooms: list[bool] = []
        queue.call_when_drained(lambda: rooms.append(queue.full))
        queue.end(1000)
        queue.drop()
        assert rooms == [False]
        assert await queue.receive() == disconnect(1000)

    run(test)


def test_nobody_need_ask_for_room() -> None:
    """S20: before the WebSocket is open nobody reads, so that nobody is told of room."""

    async def test() -> None:
        queue = await connected(1)
        assert queue.put("x")
        await queue.receive()
        assert not queue.full

    run(test)
