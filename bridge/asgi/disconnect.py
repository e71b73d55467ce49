"""How an app hears that its client is gone, and what it says then (A26, S12, W40).

Frameworks that send in one task wait in ``receive()`` in another (Django, Quart, Litestar, and
Starlette below ASGI 2.4). The task in ``receive()`` is told of the disconnect and cancels the one
that sends; only then is the response closed, and what comes after it done. If `send` raised before
that, neither would happen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from bridge.errors import ClientDisconnected
from bridge.types import Message

#: Seconds that `send` gives a task that was told in `receive` to cancel the sending one.
GRACE: Final = 1.0
#: Turns of the loop in which that time is spent.
_TURNS: Final = 20
#: The longest pause of an app that tries again and again, in seconds.
_LONGEST_PAUSE: Final = 1.0
#: The most errors of a chain that are looked at: a chain may be a circle.
_MOST_ERRORS: Final = 100


def is_disconnect(error: BaseException) -> bool:
    """Whether `error` is an app's way of noticing that its client has left.

    Frameworks turn our `ClientDisconnected` into errors of their own, so the chain of causes is
    followed, up to `_MOST_ERRORS` of them.
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
    """Slow down an app that makes for the `calls`-th time a call that cannot succeed.

    The first call is free; after that the loop gets its turn, and the pauses grow.
    """
    if calls > 1:
        await asyncio.sleep(min(calls / 1000, _LONGEST_PAUSE))


class DisconnectNotice:
    """What one app has heard of the end of its client; used in the loop's thread only.

    `grace`: seconds that `send` gives a task that was told in `receive`. Exchanges make it when an
    app first waits in `receive`, or when the client has gone: most need none.
    """

    __slots__ = ("_cancellation_deferred", "_dropped", "_grace", "_receiver", "times_told")

    def __init__(self, grace: float = GRACE) -> None:
        self._grace = grace
        #: How often the app was told in `receive` that nothing more comes.
        self.times_told = 0
        #: The task that last waited in `receive`, until it has had its grace.
        self._receiver: asyncio.Task[Any] | None = None
        #: Messages that were dropped before the app was told.
        self._dropped = 0
        self._cancellation_deferred = False

    def note_receiver(self) -> None:
        """Remember the caller's task, which is about to wait in `receive`."""
        self._receiver = asyncio.current_task()

    async def disconnect(self) -> Message:
        """Return ``http.disconnect``; an app that asks again and again does not hold the loop."""
        self.times_told += 1
        await throttle(self.times_told)
        return {"type": "http.disconnect"}

    async def drops_message(self) -> bool:
        """Whether `send`, whose client has left, drops its message instead of raising.

        It does while another task waits in `receive` and has not been told. When that task has
        been told, it first gets some time to cancel the caller.
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

        At its next await the generator that makes the body mostly waits itself, and so closes what
        it has open at once, and not when garbage is collected.
        """
        task = asyncio.current_task()
        if self._cancellation_deferred or task is None:
            raise error
        self._cancellation_deferred = True
        task.uncancel()
        task.cancel(*error.args)
