"""Requests that the new app fails, answered by the old one (M22).

If the new app raises before the first byte of its response has gone to the client, the old app gets
the same request. What most frameworks do then is to answer 500 themselves (Flask, Django), and some
raise behind that (Starlette, FastAPI): so a 500 counts as an exception, and nothing of it is sent.
Any other status stands, whatever it is.

This is for safe methods only (RFC 9110 §9.2.1): what an unsafe one has done before it failed must
not be done again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bridge.asgi.reread import DISCONNECT, KeptRequest, LastReader, Reader, own_scope
from bridge.errors import AppError, ClientDisconnected
from bridge.types import ASGIApp, Message, Receive, Scope, Send

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

#: What may come before the response, and goes on to the client at once.
_BEFORE_RESPONSE: Final = frozenset({"http.response.early_hint", "http.response.debug"})
_FAILED: Final = 500


def can_rescue(scope: Scope) -> bool:
    """Whether a request may be asked of two apps."""
    return scope["type"] == "http" and scope["method"] in SAFE


async def rescue(
    new: ASGIApp,
    old: ASGIApp,
    scope: Scope,
    receive: Receive,
    sends: tuple[Send, Send],
    tell: Callable[[Exception], object],
) -> bool:
    """Have `new` answer, and if it fails before it has sent anything, `old`; whether that was so.

    `sends`: what `new` sends with, and what `old` does. `tell` is called with what `new` raised,
    before `old` is asked. Raises what `new` raises later, or after the client has left, and what
    `old` raises.
    """
    send_new, send_old = sends
    request = KeptRequest(receive, DISCONNECT["http"])
    try:
        attempt = _Attempt(request, send_new)
        failure = await attempt.run(new, own_scope(scope, {}))
        if failure is None:
            return False
        if request.gone:
            raise failure
        tell(failure)
        await old(own_scope(scope, {}), LastReader(request, "a rescue").receive, send_old)
        return True
    finally:
        request.close()


class _Attempt:
    """The new app, tried: what it sends goes on unless it begins with a 500."""

    def __init__(self, request: KeptRequest, send: Send) -> None:
        self._reader = Reader(request, "a rescue")
        self._send = send
        self._started = self._dropped = False

    async def run(self, app: ASGIApp, scope: Scope) -> Exception | None:
        """Run the app, and return why it has failed; None if it has answered."""
        try:
            await app(scope, self._reader.receive, self._forward)
        except ClientDisconnected:
            raise
        except Exception as error:
            if self._started:
                raise
            return error
        finally:
            self._reader.dismiss()
        if self._dropped:
            return AppError(f"it answered with {_FAILED}")
        return None if self._started else AppError("it ended without a response")

    async def _forward(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._dropped = message["status"] == _FAILED
            self._started = not self._dropped
            if self._dropped:
                self._reader.dismiss()
        if self._started or message["type"] in _BEFORE_RESPONSE:
            await self._send(message)
