"""What a worker runs, as its app sees it: `receive` and `send` of a request or WebSocket (rule L9).

What the app sends is checked here, so that a mistake is raised in the app that makes it, and goes
to the gateway as it is. When the client has gone, or the gateway, or Redis, the app is told as on
our server (S12).
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from bridge.asgi import messages as grammar
from bridge.asgi.disconnect import is_disconnect, throttle
from bridge.errors import ClientDisconnected, IllegalMessage, LayerUnavailable
from bridge.gateway.protocol import (
    ANSWER,
    CANCEL,
    CONSUMERS,
    END,
    SESSION,
    TAKEN,
    FrameParts,
    Request,
)
from bridge.gateway.session import Session, SessionOver
from bridge.gateway.shown import shown_request
from bridge.log import logger
from bridge.types import ASGIApp, Message, RawHeaders


class Sessions(Protocol):
    """Begins sessions, and takes frames to gateways (`Bus`)."""

    def accept(self, request: Request) -> Session:
        """Begin the session of a request that this worker has claimed."""

    def post(self, peer: str, frame: FrameParts) -> None:
        """Write `frame` to the inbox of `peer`. Raises `LayerUnavailable`."""


class TakenRequest:
    """A request or WebSocket that this worker has taken, and its session with the gateway.

    The gateway hears of it by the first frame, which is `protocol.ANSWER` or, by `tell`,
    `protocol.TAKEN`; until then there is a `Session` only if somebody has asked for it.
    """

    #: What the gateway is told that runs here.
    runs = SESSION

    def __init__(self, sessions: Sessions, request: Request) -> None:
        self._sessions = sessions
        self._request = request
        self.scope = request.scope
        self._session: Session | None = None
        #: Whether the gateway knows that it is taken; whether it has all of the response.
        self._told = False
        self._answered = False

    @property
    def shown(self) -> str:
        """Return the request, for the log."""
        return shown_request(self.scope)

    @property
    def session(self) -> Session:
        """Return the session with the gateway, which begins with the first call."""
        session = self._session
        if session is None:
            session = self._session = self._sessions.accept(self._request)
        return session

    def tell(self) -> bool:
        """Tell the gateway that this worker has the request, if it does not know; True then."""
        if self._told:
            return False
        self._told = True
        self.session.write(TAKEN, self.runs)
        return True

    def answer(self, status: int, headers: RawHeaders, body: bytes) -> None:
        """Send a whole response, and end the session; only before the gateway was told anything."""
        self._told = self._answered = True
        payload = [status, headers, body]
        if self._session is not None:
            self._session.write(ANSWER, payload)
            return
        gateway, number = self._request.gateway, self._request.session
        try:
            self._sessions.post(gateway, (gateway, number, 0, ANSWER, payload))
        except LayerUnavailable:
            pass  # Redis is lost, and the request with it

    @property
    def _closed(self) -> bool:
        """Whether nobody takes what the app sends."""
        return self._session is not None and self._session.over is not None

    def shutdown(self) -> None:
        """Have the app end soon, if it would not by itself: the worker stops."""

    def cut(self, task: asyncio.Task[None] | None) -> None:
        """Give the session up, and cancel the app, which runs in `task`: its time is up."""
        if not self._answered:
            self.tell()
            self.session.write(CANCEL, None)
        if task is not None:
            task.cancel()

    async def _write(self, event: Message) -> None:
        """Send an event to the gateway; waits while it has no room."""
        self.tell()
        try:
            await self.session.send(event)
        except SessionOver:
            pass  # the client has left meanwhile: the app learns it by its next message


class AppSession(TakenRequest):
    """What a request and a WebSocket of an app have in common."""

    #: Calls of `send` that raised, as the client has gone.
    _failed_calls = 0

    def __init__(self, sessions: Sessions, request: Request) -> None:
        super().__init__(sessions, request)
        extensions = self.scope.get("extensions")
        if extensions is None:
            self.scope["extensions"] = {}
        else:
            extensions.pop(CONSUMERS, None)
        self._phase: str = grammar.WAITING

    async def run(self, app: ASGIApp, state: dict[str, Any]) -> None:
        """Run the app to its end, and tell the gateway how it ended; `state` is the lifespan's."""
        self.scope["state"] = state.copy()
        error: BaseException | None = None
        try:
            await app(self.scope, self.receive, self.send)
        except (Exception, asyncio.CancelledError, SystemExit) as caught:
            error = caught
        if error is None and self._answered:
            self._phase = grammar.OVER  # as a rule
        else:
            self.end(error)

    def end(self, error: BaseException | None) -> None:
        """Take note that the app has returned, or raised `error`."""
        text = self._end(error)
        self._phase = grammar.OVER
        if not self._answered:
            self.tell()
            self.session.write(END, text)

    async def receive(self) -> Message:
        """Return the next event (ASGI)."""
        raise NotImplementedError

    async def send(self, message: Message) -> None:
        """Take a message of the app (ASGI)."""
        raise NotImplementedError

    def _end(self, error: BaseException | None) -> str | None:
        """Log what is wrong with the app's end; return that for the gateway, None for nothing."""
        if error is not None:
            if not (self._closed and is_disconnect(error)):
                logger.error("the app raised in %s", self.shown, exc_info=error)
            return f"the app raised {type(error).__name__}: {error!s:.500}"
        if self._closed or self._phase in (grammar.OVER, grammar.OPEN):
            return None
        unsent = self._phase == grammar.WAITING
        how = "without a response" if unsent else "with its response unfinished"
        logger.error("the app returned %s in %s", how, self.shown)
        return f"the app returned {how}"

    async def _refuse(self, text: str) -> None:
        """Raise `ClientDisconnected`; an app that tries again and again is slowed down."""
        self._failed_calls += 1
        await throttle(self._failed_calls)
        raise ClientDisconnected(text)

    def _check_offered(self, kind: str) -> None:
        """Raise `IllegalMessage` if the message is of an extension that the scope does not name."""
        if kind not in self.scope["extensions"]:
            raise IllegalMessage(
                f"{kind!r} is not among the extensions that the gateway and its worker can do"
            )
