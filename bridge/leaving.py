"""How apps say that their client has left: by raising, in many words (A26, S12, W40)."""

from __future__ import annotations

import asyncio

from bridge.errors import ClientDisconnected


def comes_of_leaving(error: BaseException) -> bool:
    """Whether `error` is an app's way of noticing that its client has left.

    Frameworks turn our `ClientDisconnected` into errors of their own: its chain is followed.
    """
    if isinstance(error, (ClientDisconnected, asyncio.CancelledError)):
        return True
    if isinstance(error, BaseExceptionGroup):
        return all(comes_of_leaving(each) for each in error.exceptions)
    cause = error.__cause__ or error.__context__
    return cause is not None and comes_of_leaving(cause)
