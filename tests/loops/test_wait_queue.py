"""Tasks that wait for a wake-up: all of them hear it, and none is left behind."""

from __future__ import annotations

import asyncio

from bridge.loops.wait_queue import WaitQueue


def test_a_wake_up_reaches_every_task_that_waits() -> None:
    """Of several tasks that wait, each goes on; only `wake` knows whether there were any."""

    async def main() -> None:
        queue = WaitQueue()
        assert queue.wake() is False
        tasks = [asyncio.create_task(queue.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        assert queue.wake() is True
        assert queue.wake() is False
        await asyncio.gather(*tasks)

    asyncio.run(main())


def test_a_wake_up_that_nobody_waits_for_is_forgotten() -> None:
    """A task that waits after the wake-up waits for the next one."""

    async def main() -> None:
        queue = WaitQueue()
        queue.wake()
        task = asyncio.create_task(queue.wait())
        for _ in range(3):
            await asyncio.sleep(0)
        assert not task.done()
        queue.wake()
        await task

    asyncio.run(main())


def test_a_cancelled_task_does_not_wait_any_more() -> None:
    """A task that is cancelled while it waits is no longer there, and the others are."""

    async def main() -> None:
        queue = WaitQueue()
        cancelled, stays = (asyncio.create_task(queue.wait()) for _ in range(2))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        assert (cancelled.cancelled(), stays.done()) == (True, False)
        queue.wake()
        await stays
        alone = asyncio.create_task(queue.wait())
        await asyncio.sleep(0)
        alone.cancel()
        await asyncio.wait([alone])
        assert queue.wake() is False

    asyncio.run(main())


def test_cancelled_and_woken_in_one_step() -> None:
    """A task that is cancelled and then woken before it runs is cancelled; or the reverse."""

    async def main() -> None:
        queue = WaitQueue()
        for cancel_first in (True, False):
            task = asyncio.create_task(queue.wait())
            await asyncio.sleep(0)
            for step in (task.cancel, queue.wake) if cancel_first else (queue.wake, task.cancel):
                step()
            await asyncio.wait([task])
            assert task.cancelled()
            assert queue.wake() is False

    asyncio.run(main())
