"""Try one app, and where it has no route, the next (D5).

This is how a site moves from an old app to a new one, route by route. An app refuses a request
with 404 or 405: its whole response is dropped, and the next app is asked with the same request.
The last app's answer counts, whatever it is.

What a refusing app has read of the body is kept for the next one, in memory up to 64 KiB, then in
a temporary file. A message that it was still waiting for goes to the next one, too: it must not be
lost with the app that asked for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import IO, Any

from bridge.asgi.lifespan import Lifespan, answer_for_all
from bridge.detect import as_asgi
from bridge.errors import ConfigError, NotOnAsyncio, UnsupportedScope
from bridge.limits import PIECE
from bridge.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("bridge.error")

REFUSALS = frozenset({404, 405})

#: What an app receives when its turn is over, by the type of its scope.
_GONE: dict[str, Message] = {
    "http": {"type": "http.disconnect"},
    "websocket": {"type": "websocket.disconnect", "code": 1006},
}


class Fallback:
    """`apps`, of any kind, as one ASGI app that asks them in order; `settings`: `WsgiToAsgi`'s.

    A WebSocket is refused by closing it before it is accepted, by a 404 or 405 response, or by
    raising before that. The refusing app is let finish before the next one is asked. If one has
    raised and no other takes it, its error is raised on.
    """

    def __init__(self, apps: Sequence[Any], **settings: Any) -> None:
        if not apps:
            raise ConfigError("a fallback needs at least one app")
        self.apps: list[ASGIApp] = [as_asgi(app, **settings) for app in apps]
        self._states: list[dict[str, Any]] = [{} for _ in apps]
        self._left = range(len(self.apps) - 1, -1, -1)  # how many come after each

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask the apps in order; a lifespan goes to each of them."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        request = _Request(receive, _GONE[scope["type"]])
        failure: Exception | None = None
        try:
            for left, app, state in zip(self._left, self.apps, self._states, strict=True):
                if not left and failure is None:
                    await app(_own(scope, state), _LastReader(request).receive, send)
                    return
                attempt = _Attempt(request, send)
                if not await attempt.run(app, _own(scope, state)):
                    return
                failure = failure or attempt.failure
            if failure is not None:
                raise failure
        finally:
            request.close()

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._states = [dict(scope.get("state", {})) for _ in self.apps]
        children = {
            f"fallback app {number}": Lifespan(
                app, startup_timeout=None, shutdown_timeout=None, state=state
            )
            for number, (app, state) in enumerate(zip(self.apps, self._states, strict=True), 1)
        }
        await answer_for_all(children, receive, send)

    def __repr__(self) -> str:
        return f"Fallback({self.apps!r})"


def _own(scope: Scope, state: dict[str, Any]) -> Scope:
    """A scope that its app may change as it likes: nobody else has a part of it (D5)."""
    own: Scope = {key: value if key == "state" else _copy(value) for key, value in scope.items()}
    if state or "state" in scope:
        own["state"] = {**scope.get("state", {}), **state}
    return own


def _copy(value: Any) -> Any:
    """Lists and dicts anew, with all that is in them; other objects are shared."""
    if type(value) is list:
        return [_copy(each) for each in value]
    if type(value) is dict:
        return {key: _copy(each) for key, each in value.items()}
    return value


class _Attempt:
    """One app asked: its messages go on to the client unless they begin with a refusal."""

    def __init__(self, request: _Request, send: Send) -> None:
        self._reader = _Reader(request)
        self._send = send
        self._answered = False
        self._refused = False
        #: What it raised in a WebSocket's handshake, other than that it takes none.
        self.failure: Exception | None = None

    async def run(self, app: ASGIApp, scope: Scope) -> bool:
        """Whether the app has refused."""
        silent_is_no = scope["type"] == "websocket"
        try:
            await app(scope, self._reader.receive, self._pass_on)
        except Exception as error:
            if self._answered or not (self._refused or silent_is_no):
                raise
            if silent_is_no and isinstance(error, UnsupportedScope):
                logger.warning("%r takes no WebSocket (%s); the next app is asked", app, error)
            else:
                logger.exception("%r raised; the next app is asked", app)
                if silent_is_no:
                    self.failure = error
        return self._refused or (silent_is_no and not self._answered)

    async def _pass_on(self, message: Message) -> None:
        if self._refused:
            return
        if not self._answered:
            self._refused = _refuses(message)
            if self._refused:
                self._reader.dismiss()
                return
            self._answered = message["type"] not in _NO_ANSWER
        await self._send(message)


#: What may come before the answer, and goes to the client even when a refusal follows.
_NO_ANSWER = frozenset({"http.response.early_hint", "http.response.debug"})


def _refuses(message: Message) -> bool:
    kind = message["type"]
    if kind in ("http.response.start", "websocket.http.response.start"):
        return message["status"] in REFUSALS
    return bool(kind == "websocket.close")


# ------------------------------------------------------------- the request, told again


class _Request:
    """What was read of a request, and the one message that may be on its way."""

    def __init__(self, receive: Receive, gone: Message) -> None:
        self.receive = receive
        self.gone = gone
        self.coming: asyncio.Future[Message] | None = None
        self.first: Message | None = None
        self.body: IO[bytes] | None = None
        self.size = 0
        self.ended = False

    async def next(self, until: asyncio.Future[None]) -> Message | None:
        """The next message from the client, kept; None where `until` is done before."""
        if self.coming is None:
            self.coming = asyncio.ensure_future(self.receive())
        either: set[asyncio.Future[Any]] = {self.coming, until}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self.coming.done():
            return None
        message = self.coming.result()
        if message["type"] != self.gone["type"]:
            self.coming = None  # but who is gone is gone for every app that asks
        self._keep(message)
        return message.copy()

    def _keep(self, message: Message) -> None:
        if message["type"] == "websocket.connect":
            self.first = message.copy()
        elif message["type"] == "http.request":
            self.ended = not message.get("more_body", False)
            if piece := message.get("body", b""):
                self._append(piece)

    def _append(self, piece: bytes) -> None:
        if self.body is None:
            from tempfile import SpooledTemporaryFile  # nearly 1 MB, and few requests need it

            self.body = SpooledTemporaryFile(max_size=PIECE)  # noqa: SIM115 - see `close`
        self.body.seek(self.size)
        self.body.write(piece)
        self.size += len(piece)

    def close(self) -> None:
        if self.coming is not None:
            self.coming.cancel()
        if self.body is not None:
            self.body.close()


class _Reader:
    """One app's `receive`: what is kept already, then what the client sends."""

    def __init__(self, request: _Request) -> None:
        self._request = request
        self._first = request.first
        self._size = request.size
        self._at = 0
        self._empty_end = request.ended and not request.size
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise NotOnAsyncio("a fallback") from None
        self._dismissed: asyncio.Future[None] = loop.create_future()

    def dismiss(self) -> None:
        """Its app has answered: there is nothing more for it."""
        self._dismissed.set_result(None)

    async def receive(self) -> Message:
        if self._dismissed.done():
            return self._request.gone.copy()
        message = self._kept() or await self._request.next(self._dismissed)
        return message or self._request.gone.copy()

    def _kept(self) -> Message | None:
        if self._first is not None:
            first, self._first = self._first, None
            return first.copy()
        if self._empty_end:
            self._empty_end = False
            return {"type": "http.request", "body": b"", "more_body": False}
        body = self._request.body
        if body is None or self._at >= self._size:
            return None
        body.seek(self._at)
        piece = body.read(min(PIECE, self._size - self._at))
        self._at += len(piece)
        more = self._at < self._size or not self._request.ended
        return {"type": "http.request", "body": piece, "more_body": more}


class _LastReader(_Reader):
    """The last app's: nothing needs to be kept, and nobody dismisses it."""

    async def receive(self) -> Message:
        kept = self._kept()
        if kept is not None:
            return kept
        if self._request.coming is not None:
            coming, self._request.coming = self._request.coming, None
            return await coming
        return await self._request.receive()
