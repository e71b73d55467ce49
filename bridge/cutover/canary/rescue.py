"""Requests that the new app fails, answered by the old one (M22).

If the new app raises before the first byte of its response has gone to the client, the old app gets
the same request. What most frameworks do then is to answer 500 themselves (Flask, Django), and some
raise behind that (Starlette, FastAPI): so a 500 counts as an exception, and nothing of it is sent.
Any other status stands, whatever it is.

The old app may be no help: its view is gone, or was never there. If it refuses, the client gets the
500 of the new app: a 404 would hide it.

What comes before a response (early hints) waits for it, and is dropped with it: a hint of one app
must not come before the response of the other.

This is for safe methods only (RFC 9110 §9.2.1): what an unsafe one has done before it failed must
not be done again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Final, NamedTuple

from bridge.asgi.reread import DISCONNECT, KeptRequest, LastReader, Reader, own_scope
from bridge.errors import AppError, ClientDisconnected
from bridge.types import ASGIApp, Message, Receive, Scope, Send

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

#: What may come before the response.
_BEFORE_RESPONSE: Final = frozenset({"http.response.early_hint", "http.response.debug"})
#: How many of those wait.
_MOST_BEFORE: Final = 16
_FAILED: Final = 500
#: Bytes of the new app's own 500 that are kept while the old app is asked.
_MOST_KEPT: Final = 256 * 1024


def can_rescue(scope: Scope) -> bool:
    """Whether a request may be asked of two apps."""
    return scope["type"] == "http" and scope["method"] in SAFE


class Failure(NamedTuple):
    """How an app has failed: what it raised, or what is to be said of it, and its own response."""

    error: Exception
    #: All messages of it; empty if there was none, or not all of it.
    response: Sequence[Message] = ()
    raised: bool = True

    async def send(self, send: Send) -> None:
        """Send the response that was kept. Raises the error, unless that says all."""
        for message in self.response:
            await send(message)
        if self.raised or not self.response:
            raise self.error


async def rescue(
    new: ASGIApp,
    old: ASGIApp,
    scope: Scope,
    receive: Receive,
    sends: tuple[Send, Send],
    tell: Callable[[Exception], object],
    refuses: Callable[[int], bool],
) -> Failure | None:
    """Have `new` answer, and if it fails before it has sent anything, `old`.

    `sends`: what `new` sends with, and what `old` does. `refuses` says whether `old` is no help, by
    the status of its answer: then nothing of it is sent, and the failure of `new` is returned.
    `tell` is called with what `new` raised, before the answer of `old` is sent, in the context of
    this call. Raises what `new` raises later, or after the client has left, and what `old` raises.
    """
    send_new, send_old = sends
    request = KeptRequest(receive, DISCONNECT["http"])
    try:
        first = _Attempt(Reader(request, "a rescue"), send_new, _FAILED.__eq__)
        failure = await first.run(new, own_scope(scope, {}))
        if failure is None:
            return None
        if request.gone:
            raise failure.error
        context = copy_context()

        def no_help(status: int) -> bool:
            if refuses(status):
                return True
            context.run(tell, failure.error)
            return False

        second = _Attempt(LastReader(request, "a rescue"), send_old, no_help)
        other = await second.run(old, own_scope(scope, {}))
        if other is None:
            return None
        if second.dropped:
            return failure
        raise other.error
    finally:
        request.close()


class _Attempt:
    """One app, tried: what it sends goes on, unless `drops` says so of its status."""

    def __init__(self, reader: Reader, send: Send, drops: Callable[[int], bool]) -> None:
        self._reader = reader
        self._send = send
        self._drops = drops
        self._started = self.dropped = False
        self._before: list[Message] = []
        #: The response that was dropped, and how many bytes of body it has.
        self._kept: list[Message] = []
        self._size = 0

    async def run(self, app: ASGIApp, scope: Scope) -> Failure | None:
        """Run the app, and return how it has failed; None if it has answered."""
        try:
            await app(scope, self._reader.receive, self._forward)
        except ClientDisconnected:
            raise
        except Exception as error:
            if self._started:
                raise
            return Failure(error, self._response())
        finally:
            self._reader.dismiss()
        if self.dropped:
            return Failure(AppError(f"it answered with {_FAILED}"), self._response(), raised=False)
        return None if self._started else Failure(AppError("it ended without a response"))

    async def _forward(self, message: Message) -> None:
        if self._started:
            await self._send(message)
        elif self.dropped:
            self._keep(message)
        elif message["type"] == "http.response.start":
            self.dropped = self._drops(message["status"])
            self._started = not self.dropped
            if self.dropped:
                self._reader.dismiss()
                self._keep(message)
                return
            for each in [*self._before, message]:
                await self._send(each)
        elif message["type"] in _BEFORE_RESPONSE and len(self._before) < _MOST_BEFORE:
            self._before.append(message)

    def _keep(self, message: Message) -> None:
        """Keep a message of the response, as long as it is not too large."""
        body = bytes(message.get("body", b""))
        self._size += len(body)
        if self._size > _MOST_KEPT:
            self._kept.clear()
        else:
            self._kept.append({**message, "body": body} if body else message)

    def _response(self) -> Sequence[Message]:
        """Return what was kept, if that is all of the response."""
        whole = self._size <= _MOST_KEPT and len(self._kept) > 1
        return self._kept if whole and not self._kept[-1].get("more_body") else ()
