"""How an app learns that its client is gone, and how its errors after that look (A26, S12, W40).

Some frameworks send in one task and wait in ``receive()`` in another (Django, Quart, Litestar, and
Starlette below ASGI 2.4). The task in ``receive()`` gets the disconnect and cancels the sending
task; only then is the response closed, and its background work done. If `send` raised before that,
neither would happen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from bridge.errors import ClientDisconnected
from bridge.types import Message

#: Seconds that `send` waits for the task in `receive`, which got the disconnect, to cancel it.
GRACE: Final = 1.0
#: The number of sleeps into which that time is divided.
_TURNS: Final = 20
#: The longest pause of an app that tries again and again, in seconds.
_LONGEST_PAUSE: Final = 1.0
#: The most errors of a chain that are examined: a chain of causes may be a circle.
_MOST_ERRORS: Final = 100


def is_disconnect(error: BaseException) -> bool:
    """Whether an app raised `error` because its client has disconnected.

    Frameworks turn our `ClientDisconnected` into errors of their own, so the chain of causes is
    followed, up to `_MOST_ERRORS` errors.
    """
    return _is_disconnect(error, iter(range(_MOST_ERRORS)))


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


async def throttle(calls: int) -> None:
    """Slow down an app that repeats a call that cannot succeed; this is the `calls`-th time.

    The first call does not wait. After that the loop runs other tasks, and the pauses grow.
    """
    if calls > 1:
        await asyncio.sleep(min(calls / 1000, _LONGEST_PAUSE))


class DisconnectNotice:
    """What one app has been told of its client's disconnect; used in the loop's thread only.

    `grace`: seconds that `send` waits for a task that got the disconnect in `receive`. It is made
    when an app first waits in `receive`, or when the client has gone: most requests need none.
    """

    __slots__ = ("_cancellation_deferred", "_dropped", "_grace", "_receiver", "times_told")

    def __init__(self, grace: float = GRACE) -> None:
        self._grace = grace
        #: How often `receive` has returned the disconnect.
        self.times_told = 0
        #: The task that last waited in `receive`, until it has had its time.
        self._receiver: asyncio.Task[Any] | None = None
        #: Messages that were dropped before the app got the disconnect.
        self._dropped = 0
        self._cancellation_deferred = False

    def note_receiver(self) -> None:
        """Remember the current task, which is about to wait in `receive`."""
        self._receiver = asyncio.current_task()

    async def disconnect(self) -> Message:
        """Return ``http.disconnect``; an app that calls again and again is slowed down."""
        self.times_told += 1
        await throttle(self.times_told)
        return {"type": "http.disconnect"}

    async def drops_message(self) -> bool:
        """Whether `send`, whose client is gone, drops its message instead of raising.

        It drops it while another task waits in `receive` and has not got the disconnect. When that
        task has got it, it first has some time to cancel the caller.
        """
        if self._receiver is None or self._receiver is asyncio.current_task():
            return False
        try:
            if not self.times_told:
                self._dropped += 1
                await throttle(self._dropped)
                return True
            self._receiver = None
            for _ in range(_TURNS):
                await asyncio.sleep(self._grace / _TURNS)
        except asyncio.CancelledError as error:
            self.defer_cancellation(error)
            return True
        return False

    def defer_cancellation(self, error: asyncio.CancelledError) -> None:
        """Have the caller cancelled at its next await, not in `send`; raise the second time.

        At the next await it is usually the generator of the body that waits. So the generator gets
        the cancellation, and closes its resources at once instead of when it is garbage-collected.
        """
        task = asyncio.current_task()
        if self._cancellation_deferred or task is None:
            raise error
        self._cancellation_deferred = True
        task.uncancel()
        task.cancel(*error.args)
