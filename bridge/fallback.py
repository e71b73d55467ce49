"""Try one app, and if it has no route, the next (D5).

This is how a site moves from an old app to a new one, route by route. An app refuses a request
with 404 or 405: its whole response is dropped, and the next app gets the same request. The last
app's response counts, whatever it is.

What a refusing app has read of the body is kept for the next one, in memory up to 64 KiB, then in
a temporary file. A message that it was still waiting for goes to the next one, too: it must not be
lost with the app that asked for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import IO, Any, Final

from bridge.asgi.lifespan import Lifespan, answer_for_all
from bridge.detect import as_asgi
from bridge.errors import ConfigError, NotOnAsyncio, UnsupportedScope
from bridge.limits import READ_SIZE
from bridge.log import logger
from bridge.types import ASGIApp, Message, Receive, Scope, Send

REFUSALS: Final = frozenset({404, 405})

#: What an app receives when its turn is over, by the type of its scope.
_DISCONNECT: dict[str, Message] = {
    "http": {"type": "http.disconnect"},
    "websocket": {"type": "websocket.disconnect", "code": 1006},
}
#: What may come before the response, and goes to the client even if a refusal follows.
_BEFORE_RESPONSE: Final = frozenset({"http.response.early_hint", "http.response.debug"})


class Fallback:
    """One ASGI app that tries `apps`, of any kind, in order; `settings` are `WsgiToAsgi`'s.

    A WebSocket is refused by closing it before it is accepted, by a 404 or 405 response, or by
    raising before that. A refusing app may finish before the next one is tried. If one has raised
    and no other takes the WebSocket, its error is raised.
    """

    def __init__(self, apps: Sequence[Any], **settings: Any) -> None:
        if not apps:
            raise ConfigError("a fallback needs at least one app")
        self.apps: list[ASGIApp] = [as_asgi(app, **settings) for app in apps]
        self._states: list[dict[str, Any]] = [{} for _ in apps]
        self._remaining = range(len(self.apps) - 1, -1, -1)  # how many come after each

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Try the apps in order; a lifespan goes to each of them."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        request = _Request(receive, _DISCONNECT[scope["type"]])
        failure: Exception | None = None
        try:
            for remaining, app, state in zip(self._remaining, self.apps, self._states, strict=True):
                if not remaining and failure is None:
                    await app(_own(scope, state), _LastReader(request).receive, send)
                    return
                attempt = _Attempt(request, send)
                if not await attempt.run(app, _own(scope, state)):
                    return
                failure = failure or attempt.failure
            assert failure is not None  # else the last app's response stands, whatever it is
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
    """Copy a scope, so that its app may change it: no other app has a part of it (D5)."""
    own: Scope = {key: value if key == "state" else _copy(value) for key, value in scope.items()}
    if state or "state" in scope:
        own["state"] = {**scope.get("state", {}), **state}
    return own


def _copy(value: Any) -> Any:
    """Copy lists and dicts, with all that is in them; other objects are shared."""
    if type(value) is list:
        return [_copy(each) for each in value]
    if type(value) is dict:
        return {key: _copy(each) for key, each in value.items()}
    return value


#: Whether an app has responded: not yet; with a refusal; in earnest.
_UNDECIDED, _REFUSED, _ACCEPTED = range(3)


class _Attempt:
    """One app tried: its messages go on to the client unless they begin with a refusal."""

    def __init__(self, request: _Request, send: Send) -> None:
        self._reader = _Reader(request)
        self._send = send
        self._phase = _UNDECIDED
        #: What it raised in a WebSocket's handshake, other than that it takes none.
        self.failure: Exception | None = None

    async def run(self, app: ASGIApp, scope: Scope) -> bool:
        """Run the app; whether it has refused."""
        # An app that says nothing at all to a WebSocket refuses it.
        is_websocket = scope["type"] == "websocket"
        try:
            await app(scope, self._reader.receive, self._forward)
        except Exception as error:
            if self._phase == _ACCEPTED or (self._phase == _UNDECIDED and not is_websocket):
                raise
            if is_websocket and isinstance(error, UnsupportedScope):
                logger.warning("%r takes no WebSocket (%s); the next app is asked", app, error)
            else:
                logger.exception("%r raised; the next app is asked", app)
                if is_websocket:
                    self.failure = error
        return self._phase == _REFUSED or (is_websocket and self._phase == _UNDECIDED)

    async def _forward(self, message: Message) -> None:
        if self._phase == _UNDECIDED:
            if _refuses(message):
                self._phase = _REFUSED
                self._reader.dismiss()
            elif message["type"] not in _BEFORE_RESPONSE:
                self._phase = _ACCEPTED
        if self._phase != _REFUSED:
            await self._send(message)


def _refuses(message: Message) -> bool:
    kind = message["type"]
    if kind in ("http.response.start", "websocket.http.response.start"):
        return message["status"] in REFUSALS
    return bool(kind == "websocket.close")


# ------------------------------------------------------------- the request, read again


class _Request:
    """What was read of a request, and the one message that may be on its way."""

    def __init__(self, receive: Receive, disconnect: Message) -> None:
        self.disconnect = disconnect
        #: ``websocket.connect``, once it was read.
        self.connect: Message | None = None
        #: Bytes of body that were read, and whether that is all of it.
        self.size = 0
        self.complete = False
        self._receive = receive
        #: A message that an app was waiting for when its turn was over.
        self._pending: asyncio.Future[Message] | None = None
        self._body: IO[bytes] | None = None

    async def next_kept(self, until: asyncio.Future[None]) -> Message | None:
        """Return the client's next message, and keep it; None if `until` is done before."""
        if self._pending is None:
            self._pending = asyncio.ensure_future(self._receive())
        either: set[asyncio.Future[Any]] = {self._pending, until}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self._pending.done():
            return None
        message = self._pending.result()
        if message["type"] != self.disconnect["type"]:
            self._pending = None  # but a disconnect stays: every app must see it
        self._keep(message)
        return message.copy()

    async def next(self) -> Message:
        """Return the client's next message, which no other app needs."""
        if self._pending is None:
            return await self._receive()
        pending, self._pending = self._pending, None
        return await pending

    def read(self, at: int, size: int) -> bytes:
        """Return up to `size` bytes of the body that was kept, from `at` on."""
        assert self._body is not None  # else `size` is 0
        self._body.seek(at)
        return self._body.read(size)

    def _keep(self, message: Message) -> None:
        if message["type"] == "websocket.connect":
            self.connect = message.copy()
        elif message["type"] == "http.request":
            self.complete = not message.get("more_body", False)
            if piece := message.get("body", b""):
                self._append(piece)

    def _append(self, piece: bytes) -> None:
        if self._body is None:
            from tempfile import SpooledTemporaryFile  # nearly 1 MB, and few requests need it

            self._body = SpooledTemporaryFile(max_size=READ_SIZE)  # noqa: SIM115 - see `close`
        self._body.seek(self.size)
        self._body.write(piece)
        self.size += len(piece)

    def close(self) -> None:
        if self._pending is not None:
            self._pending.cancel()
        if self._body is not None:
            self._body.close()


class _Reader:
    """One app's `receive`: what is kept already, then what the client sends."""

    def __init__(self, request: _Request) -> None:
        """Raises `NotOnAsyncio`."""
        self._request = request
        self._connect = request.connect
        #: How much was kept when the app's turn began, and how much of that it has read.
        self._size = request.size
        self._offset = 0
        self._empty_body = request.complete and not request.size
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise NotOnAsyncio("a fallback") from None
        self._dismissed: asyncio.Future[None] = loop.create_future()

    def dismiss(self) -> None:
        """End the app's turn: there is nothing more for it."""
        self._dismissed.set_result(None)

    async def receive(self) -> Message:
        """Return the next message; ``disconnect`` once the app's turn is over."""
        message = None
        if not self._dismissed.done():
            message = self._kept() or await self._request.next_kept(self._dismissed)
        return message or self._request.disconnect.copy()

    def _kept(self) -> Message | None:
        if self._connect is not None:
            connect, self._connect = self._connect, None
            return connect.copy()
        if self._empty_body:
            self._empty_body = False
            return {"type": "http.request", "body": b"", "more_body": False}
        if self._offset >= self._size:
            return None
        piece = self._request.read(self._offset, min(READ_SIZE, self._size - self._offset))
        self._offset += len(piece)
        more = self._offset < self._size or not self._request.complete
        return {"type": "http.request", "body": piece, "more_body": more}


class _LastReader(_Reader):
    """The last app's: nothing needs to be kept, and its turn has no end."""

    async def receive(self) -> Message:
        return self._kept() or await self._request.next()
