"""Try one app, and if it has no route, the next (D5).

This is how a site moves from an old app to a new one, route by route. An app refuses a request
with 404 or 405: its whole response is dropped, and the next app gets the same request. The last
app's response counts, whatever it is.

What a refusing app has read of the body is kept for the next one (`asgi/reread.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from bridge.asgi.lifespan import Lifespan, answer_for_all
from bridge.asgi.reread import DISCONNECT, KeptRequest, LastReader, Reader, own_scope
from bridge.detect import as_asgi
from bridge.errors import ConfigError, UnsupportedScope
from bridge.log import logger
from bridge.types import ASGIApp, Message, Receive, Scope, Send

REFUSALS: Final = frozenset({404, 405})

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
            raise ConfigError("a fallback needs at least one app: fallback=[new, old]")
        self.apps: list[ASGIApp] = [as_asgi(app, **settings) for app in apps]
        self._states: list[dict[str, Any]] = [{} for _ in apps]
        self._remaining = range(len(self.apps) - 1, -1, -1)  # how many come after each

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Try the apps in order; a lifespan goes to each of them."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        request = KeptRequest(receive, DISCONNECT[scope["type"]])
        failure: Exception | None = None
        try:
            for remaining, app, state in zip(self._remaining, self.apps, self._states, strict=True):
                if not remaining and failure is None:
                    await app(own_scope(scope, state), LastReader(request).receive, send)
                    return
                attempt = _Attempt(request, send)
                if not await attempt.run(app, own_scope(scope, state)):
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


#: Whether an app has responded: not yet; with a refusal; in earnest.
_UNDECIDED, _REFUSED, _ACCEPTED = range(3)


class _Attempt:
    """One app tried: its messages go on to the client unless they begin with a refusal."""

    def __init__(self, request: KeptRequest, send: Send) -> None:
        self._reader = Reader(request)
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
