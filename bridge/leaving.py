"""How apps say that their client has left: by raising, in many words (A26, S12, W40)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from bridge.errors import ClientDisconnected

#: The most errors of a chain that are looked at: a chain may be a circle.
_MOST = 100


def comes_of_leaving(error: BaseException) -> bool:
    """Whether `error` is an app's way of noticing that its client has left.

    Frameworks turn our `ClientDisconnected` into errors of their own: its chain is followed, as far
    as a chain can be expected to go.
    """
    return _comes_of_leaving(error, iter(range(_MOST)))


def _comes_of_leaving(error: BaseException | None, steps: Iterator[int]) -> bool:
    for _ in steps:
        if isinstance(error, (ClientDisconnected, asyncio.CancelledError)):
            return True
        if isinstance(error, BaseExceptionGroup):
            return all(_comes_of_leaving(each, steps) for each in error.exceptions)
        if error is None:
            return False
        error = error.__cause__ or error.__context__
    return False
