"""One HTTP request that a worker runs: its app's `receive` and `send` (rules L9, L10).

What the app sends is checked here, so that a mistake is raised in the app that makes it, and goes
to the gateway as it is. The head of a response leaves with the first piece of its body. When the
client has gone, or the gateway, or Redis, the app is told as on our server (S12).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from bridge.asgi import messages as grammar
from bridge.asgi.disconnect import DisconnectNotice, is_disconnect, throttle
from bridge.errors import ClientDisconnected, IllegalMessage
from bridge.gateway.protocol import CANCEL, END, SESSION, TAKEN
from bridge.gateway.session import Session, SessionOver
from bridge.http.response_fields import raw_fields
from bridge.http.response_head import raw_head
from bridge.log import logger
from bridge.types import ASGIApp, Message, Scope

#: Extensions that work between two processes: what else the gateway's host offers stays there.
_EXTENSIONS: Final = frozenset(
    {
        "http.response.early_hint",
        "http.response.trailers",
        "websocket.http.response",
        "tls",
    }
)


class AppSession:
    """What a request and a WebSocket on a worker have in common."""

    #: Calls of `send` that raised, as the client has gone.
    _failed_calls = 0

    def __init__(self, session: Session, scope: Scope) -> None:
        self.session = session
        self.scope = scope
        #: The request, for the log.
        self.shown = f"{scope.get('method', 'WebSocket')} {scope.get('path', '')}"
        scope["extensions"] = {
            name: about
            for name, about in (scope.get("extensions") or {}).items()
            if name in _EXTENSIONS
        }
        self._phase: str = grammar.WAITING

    async def run(self, app: ASGIApp, state: dict[str, Any]) -> None:
        """Run the app to its end, and tell the gateway how it ended; `state` is the lifespan's."""
        self.scope["state"] = state.copy()
        self.session.write(TAKEN, SESSION)
        error: BaseException | None = None
        try:
            await app(self.scope, self.receive, self.send)
        except (Exception, asyncio.CancelledError, SystemExit) as caught:
            error = caught
        text = self._end(error)
        self._phase = grammar.OVER
        self.session.write(END, text)

    async def receive(self) -> Message:
        """Return the next event (ASGI)."""
        raise NotImplementedError

    async def send(self, message: Message) -> None:
        """Take a message of the app (ASGI)."""
        raise NotImplementedError

    @property
    def _closed(self) -> bool:
        """Whether nobody takes what the app sends."""
        return self.session.over is not None

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

    def shutdown(self) -> None:
        """Have the app end soon, if it would not by itself: the worker stops."""

    def cut(self, task: asyncio.Task[None]) -> None:
        """Give the session up, and cancel the app, which runs in `task`: its time is up."""
        self.session.write(CANCEL, None)
        task.cancel()

    async def _write(self, event: Message) -> None:
        """Send an event to the gateway; waits while it has no room."""
        try:
            await self.session.send(event)
        except SessionOver:
            pass  # the client has left meanwhile: the app learns it by its next message

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


class HttpSession(AppSession):
    """One request that an app of this worker answers."""

    #: The head that the app gave, until it leaves.
    _start: Message | None = None
    #: The app has announced trailers.
    _trailers = False

    def __init__(self, session: Session, scope: Scope) -> None:
        super().__init__(session, scope)
        self._notice = DisconnectNotice()

    async def receive(self) -> Message:
        """Return the next piece of the request's body, or the disconnect (ASGI)."""
        session = self.session
        while self._phase != grammar.OVER:
            event = session.take()
            if event is not None:
                return event
            if session.over is not None:
                break
            self._notice.note_receiver()
            await session.news.wait()
        return await self._notice.disconnect()

    async def send(self, message: Message) -> None:
        """Take a message of the response (ASGI). Waits while the client is slow (L9)."""
        if self.session.over is not None:
            await self._drop(message)
            return
        kind = grammar.message_type(message)
        after = grammar.next_phase(grammar.HTTP, self._phase, message, trailers=self._trailers)
        if kind == grammar.BODY:
            await self._send_body(message, after)
        elif kind == grammar.START:
            head = raw_head(message.get("status"), message.get("headers"))
            self._trailers = bool(message.get("trailers"))
            self._start = {"type": kind, "status": head.status_code, "headers": head.fields}
            if self._trailers:
                self._start["trailers"] = True
            self._phase = after
        else:
            self._check_offered(kind)
            event = _CHECKED[kind](message)
            self._phase = after
            await self._send_start()
            await self._write(event)
            self._tell_if_over()

    async def _send_body(self, message: Message, after: str) -> None:
        event = {
            "type": grammar.BODY,
            "body": grammar.check_body(message),
            "more_body": bool(message.get("more_body")),
        }
        self._phase = after
        await self._send_start()
        await self._write(event)
        self._tell_if_over()

    async def _send_start(self) -> None:
        """Send the head, if that is still here."""
        start, self._start = self._start, None
        if start is not None:
            await self._write(start)

    def _tell_if_over(self) -> None:
        """Let a task of the app that waits in `receive` hear that the response is over."""
        if self._phase == grammar.OVER:
            self.session.news.wake()

    async def _drop(self, message: Message) -> None:
        """Drop a message for a client that has left. Raises `ClientDisconnected`.

        As on our server (S12): not before a task that waits in `receive` has been told; and an app
        that was not told sends the rest of its response in vain, if that is one piece.
        """
        kind = grammar.message_type(message)
        notice = self._notice
        if await notice.drops_message():
            return
        if not notice.times_told:
            if kind == grammar.START and self._phase == grammar.WAITING:
                raw_head(message.get("status"), message.get("headers"))  # raises if malformed
                self._phase = grammar.STREAMING
                return
            last = not message.get("more_body")
            if kind == grammar.BODY and self._phase == grammar.STREAMING and last:
                self._phase = grammar.OVER
                return
        await self._refuse("the client is gone; nothing more can be sent")


def _hint(message: Message) -> Message:
    links = raw_fields([(b"link", link) for link in grammar.hint_links(message)])
    return {"type": grammar.EARLY_HINT, "links": [field.raw[1] for field in links]}


def _more_trailers(message: Message) -> Message:
    return {
        "type": grammar.TRAILERS,
        "headers": [field.raw for field in raw_fields(message.get("headers"))],
        "more_trailers": bool(message.get("more_trailers")),
    }


#: What makes plain messages of those of extensions. Raises `IllegalMessage`.
_CHECKED: Final[dict[str, Callable[[Message], Message]]] = {
    grammar.EARLY_HINT: _hint,
    grammar.TRAILERS: _more_trailers,
}
