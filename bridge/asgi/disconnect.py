"""How apps and their clients part: who is told when, and what apps say then (A26, S12, W40).

Frameworks that send in one task wait in ``receive()`` in another (Django, Quart, Litestar, and
Starlette below ASGI 2.4). The other one is told that the client has left, and cancels the first;
only then is the response closed, and done what comes after it. If `send` raised before that,
neither would be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from bridge.errors import ClientDisconnected
from bridge.types import Message

#: Seconds, and turns of the loop, that `send` gives a task that was told in `receive()`.
_GRACE = 1.0
_TURNS = 20
#: The longest pause that an app gets that asks again and again, in seconds.
_LONGEST_BRAKE = 1.0

#: The most errors of a chain that are looked at: a chain may be a circle.
_MOST = 100


def is_disconnect(error: BaseException) -> bool:
    """Whether `error` is an app's way of noticing that its client has left.

    Frameworks turn our `ClientDisconnected` into errors of their own: its chain is followed, as far
    as a chain can be expected to go.
    """
    return _is_disconnect(error, iter(range(_MOST)))


def _is_disconnect(error: BaseException | None, steps: Iterator[int]) -> bool:
    for _ in steps:
        if isinstance(error, (ClientDisconnected, asyncio.CancelledError)):
            return True
        if isinstance(error, BaseExceptionGroup):
            return all(_is_disconnect(each, steps) for each in error.exceptions)
        if error is None:
            return False
        error = error.__cause__ or error.__context__
    return False


async def brake(misses: int) -> None:
    """Slow down an app that does for the `misses`-th time what cannot succeed.

    The first time is free; from then on the loop has its turn, and the pauses grow.
    """
    if misses > 1:
        await asyncio.sleep(min(misses / 1000, _LONGEST_BRAKE))


class Parting:
    """An exchange's part that knows what its app has heard of the end. All on the loop's thread."""

    #: Who waited last in `receive`.
    _listener: asyncio.Task[Any] | None = None
    #: How often the app was told in `receive` that nothing more comes.
    _told = 0
    #: Messages that went nowhere before it was told.
    _dropped = 0
    #: A cancellation was put off.
    _put_off = False

    def parting_grace(self) -> float:
        """Seconds that `send` gives a task that was told in `receive`."""
        return _GRACE

    def listen(self) -> None:
        """The caller's task is about to wait in `receive`."""
        self._listener = asyncio.current_task()

    async def disconnect(self) -> Message:
        """``http.disconnect``; an app that asks again and again does not hold the loop."""
        self._told += 1
        await brake(self._told)
        return {"type": "http.disconnect"}

    async def others_come_first(self) -> bool:
        """Whether `send`, whose client has left, shall not raise now, but drop its message.

        That is so while a task that waits in `receive` has not heard of it. When it has, it gets
        some time to cancel the caller.
        """
        if self._listener is None or self._listener is asyncio.current_task():
            return False
        try:
            if not self._told:
                self._dropped += 1
                await brake(self._dropped)
                return True
            self._listener = None
            for _ in range(_TURNS):
                await asyncio.sleep(self.parting_grace() / _TURNS)
        except asyncio.CancelledError as error:
            self.put_off(error)
            return True
        return False

    def put_off(self, error: asyncio.CancelledError) -> None:
        """Have the caller cancelled at its next await, not in `send`; the second time, raise.

        There the generator that makes the body mostly waits itself: it closes what it has open at
        once, and not when garbage is collected.
        """
        task = asyncio.current_task()
        if self._put_off or task is None:
            raise error
        self._put_off = True
        task.uncancel()
        task.cancel(*error.args)
