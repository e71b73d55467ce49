"""Tasks of one loop that wait for news, and the wake-up that has them look again.

For conditions that are checked before and after each wait. The news itself is kept elsewhere: a
wake-up while nobody waits is forgotten. `bridge.loops.waiters` is the same for threads.
"""

from __future__ import annotations

import asyncio


class WaitQueue:
    """The tasks that wait for one kind of news. For the loop's thread only."""

    __slots__ = ("_futures",)

    def __init__(self) -> None:
        self._futures: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        """Wait for the next `wake`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        futures = self._futures
        futures.append(future)
        try:
            await future
        except BaseException:  # cancelled, or its coroutine was closed
            if future in futures:
                futures.remove(future)
            raise

    def wake(self) -> bool:
        """Let every waiting task go on; whether there was any."""
        futures = self._futures
        if not futures:
            return False
        for future in futures:
            if not future.done():
                future.set_result(None)
        futures.clear()
        return True
