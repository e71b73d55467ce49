"""Messages that wait in this process for the tasks that read them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from bridge.channels.django.inboxes import Inboxes
from bridge.errors import ChannelFull, MessageTooLarge
from bridge.types import Message


def inboxes(expiry: float = 60, capacity: int = 3) -> Inboxes:
    """Inboxes of equal capacity."""
    return Inboxes(expiry, lambda _: capacity, 1000)


def take(box: Inboxes, channel: str) -> Coroutine[Any, Any, Message | None]:
    """Take a message out of inboxes that are being filled."""
    return box.take(channel, lambda: True)


def reading(task: asyncio.Task[Message | None]) -> bool:
    """Whether a task waits for something (a future), and is not done."""
    return task._fut_waiter is not None  # type: ignore[attr-defined]


async def until(holds: Callable[[], bool]) -> None:
    """Let other tasks run until something holds."""
    while not holds():
        await asyncio.sleep(0)


def test_messages_wait_for_their_reader() -> None:
    """L14: what came before its reader is there in order, and other channels' messages are not."""

    async def main() -> None:
        box = inboxes()
        for number in (1, 2):
            box.put("a!1", {"n": number})
        box.put("a!2", {"n": 3})
        assert [await take(box, "a!1"), await take(box, "a!1")] == [{"n": 1}, {"n": 2}]
        assert await take(box, "a!2") == {"n": 3}
        assert len(box) == 0

    asyncio.run(main())


def test_a_reader_owns_its_message() -> None:
    """L14: one message for many channels is each reader's own, all the way down."""

    async def main() -> None:
        box, message = inboxes(), {"list": [{"a": 1}], "text": "x"}
        box.put("a!1", message)
        box.put("a!2", message)
        first = await take(box, "a!1")
        assert first is not None
        first["list"][0]["a"] = 2
        assert await take(box, "a!2") == message == {"list": [{"a": 1}], "text": "x"}

    asyncio.run(main())


def test_a_cancelled_reader_has_taken_nothing() -> None:
    """L14: a message that comes when its reader is cancelled waits for the next one."""

    async def main() -> None:
        box = inboxes()
        gone = asyncio.create_task(take(box, "a!1"))
        await until(lambda: reading(gone))
        box.put("a!1", {"n": 1})  # the task is woken only in a later turn of the loop
        gone.cancel()
        await asyncio.wait([gone])
        assert gone.cancelled()
        assert await take(box, "a!1") == {"n": 1}

        gone = asyncio.create_task(take(box, "a!1"))
        await until(lambda: reading(gone))
        gone.cancel()
        await asyncio.wait([gone])
        assert len(box) == 0

    asyncio.run(main())


def test_many_readers_of_one_channel() -> None:
    """L14: each message goes to one of them, and the others look again."""

    async def main() -> None:
        box = inboxes()
        tasks = [asyncio.create_task(take(box, "a!1")) for _ in range(3)]
        await until(lambda: all(map(reading, tasks)))
        box.put("a!1", {"n": 1})
        box.put("a!1", {"n": 2})
        found = await asyncio.gather(*tasks)
        assert sorted(each["n"] for each in found if each) == [1, 2]
        assert found.count(None) == 1
        assert len(box) == 0

    asyncio.run(main())


def test_readers_on_other_loops() -> None:
    """L14: readers wait in any number of threads, each with a loop of its own."""
    box = inboxes()
    found: list[Message | None] = []
    waiting = threading.Semaphore(0)

    async def read(channel: str) -> None:
        tasks = [asyncio.create_task(take(box, f"{channel}{number}")) for number in range(5)]
        await until(lambda: all(map(reading, tasks)))
        waiting.release()
        found.extend(await asyncio.gather(*tasks))

    threads = [
        threading.Thread(target=asyncio.run, args=(read(f"a!{number}-"),)) for number in range(3)
    ]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert waiting.acquire(timeout=20)

    async def write() -> None:
        for one in range(3):
            for two in range(5):
                box.put(f"a!{one}-{two}", {"n": 5 * one + two})

    asyncio.run(write())
    for thread in threads:
        thread.join(20)
    assert sorted(each["n"] for each in found if each) == list(range(15))


def test_a_loop_that_was_closed_hinders_nobody() -> None:
    """L14: a reader that ended with its loop is passed over."""
    box = inboxes()
    loop = asyncio.new_event_loop()
    task = loop.create_task(take(box, "a!1"))
    loop.run_until_complete(until(lambda: reading(task)))
    loop.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]

    async def main() -> None:
        other = asyncio.create_task(take(box, "a!1"))
        await until(lambda: reading(other))
        box.put("a!1", {"n": 1})
        assert await other == {"n": 1}

    asyncio.run(main())


def test_capacity() -> None:
    """L14: no channel has more messages than its capacity; the text says which it was."""

    async def main() -> None:
        box = inboxes(capacity=1)
        box.put("a!1", {})
        with pytest.raises(ChannelFull, match=r"'a!1' is full: 1 message, the most"):
            box.put("a!1", {})
        box.put("a!2", {})
        await take(box, "a!1")
        box.put("a!1", {})
        with pytest.raises(MessageTooLarge):
            box.put("a!3", {"text": "x" * 1000})
        with pytest.raises(TypeError):
            box.put("a!3", {"value": object()})
        assert len(box) == 2

    asyncio.run(main())


def test_expiry() -> None:
    """L14: what nobody has read in time is dropped, makes room, and takes no memory for ever."""

    async def main() -> None:
        box = inboxes(expiry=0.01, capacity=1)
        box.put("a!1", {"n": 1})
        box.put("a!2", {"n": 2})
        time.sleep(0.02)
        box.put("a!1", {"n": 3})  # whatever channel it is for, those of others are swept out
        assert len(box) == 1
        time.sleep(0.02)
        late = asyncio.create_task(take(box, "a!1"))
        await until(lambda: reading(late))
        box.put("a!1", {"n": 4})
        assert await late == {"n": 4}

    asyncio.run(main())


def test_clear_and_wake() -> None:
    """L14: `clear` drops messages, not readers; `wake_all` has readers look again."""

    async def main() -> None:
        box = inboxes()
        box.put("a!1", {"n": 1})
        task = asyncio.create_task(take(box, "a!2"))
        await until(lambda: reading(task))
        box.clear()
        assert len(box) == 1
        box.wake_all()
        assert await task is None
        box.put("a!2", {"n": 2})
        assert await box.take("a!2", lambda: False) == {"n": 2}
        assert await box.take("a!2", lambda: False) is None
        assert len(box) == 0

    asyncio.run(main())
