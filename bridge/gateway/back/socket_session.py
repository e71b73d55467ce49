"""One WebSocket that a worker runs: its app's `receive` and `send` (rule L9).

The gateway has the socket. Whatever ends it, the app gets the disconnect after all that came
before; and what the app may not send is refused here, with the rules of our server.
"""

from __future__ import annotations

from typing import Any, Final

from websockets.frames import CloseCode
from websockets.protocol import State
from websockets.server import ServerProtocol

from bridge.asgi import messages as grammar
from bridge.asgi.disconnect import throttle
from bridge.errors import UnsupportedScope
from bridge.gateway.back.app_session import AppSession, Sessions
from bridge.gateway.protocol import EVENTS, Request
from bridge.http.response_fields import raw_fields
from bridge.http.response_head import raw_head
from bridge.log import logger
from bridge.types import Message
from bridge.websocket.frames import Frames
from bridge.websocket.handshake import Handshake

#: Nothing is written with it: it knows what may be.
_PROTOCOL: Final = ServerProtocol(state=State.OPEN)
_FRAMES: Final = Frames(_PROTOCOL, 0, 0)


class SocketSession(AppSession):
    """One WebSocket of an app of this worker."""

    #: The disconnect, which `receive` returns when no more events are there, every time.
    _disconnect: Message | None = None
    _times_told = 0

    def __init__(self, sessions: Sessions, request: Request) -> None:
        super().__init__(sessions, request)
        self.tell()

    async def receive(self) -> Message:
        """Return the next event (ASGI)."""
        session = self.session
        while self._disconnect is None:
            event = session.take()
            if event is not None:
                if event["type"] != "websocket.disconnect":
                    return event
                self._disconnect = event
            elif session.over is not None:
                self._disconnect = _disconnect(CloseCode.ABNORMAL_CLOSURE)
            else:
                await session.news.wait()
        self._times_told += 1
        await throttle(self._times_told)
        return self._disconnect.copy()

    async def send(self, message: Message) -> None:
        """Take a message (ASGI). Waits while the client is slow (L9)."""
        kind = grammar.message_type(message)
        if self._closed and self._phase != grammar.OVER:
            await self._refuse("the WebSocket is closed; nothing more can be sent")
        after = grammar.next_phase(grammar.WEBSOCKET, self._phase, message)
        if self._phase == grammar.WAITING and kind == grammar.CLOSE:
            event: Message = {"type": kind}  # a refusal has no code
        else:
            event = _CHECKED[kind](self, message)
        if after == grammar.OVER:
            self._close(event.get("code", CloseCode.ABNORMAL_CLOSURE), event.get("reason", ""))
        self._phase = after
        await self._write(event)

    @property
    def _closed(self) -> bool:
        """Whether nobody takes what the app sends."""
        return self._disconnect is not None or self.session.over is not None

    def _close(self, code: int, reason: str = "") -> None:
        """Have the app get the disconnect next: its WebSocket is over."""
        self._disconnect = _disconnect(code, reason)
        self.session.news.wake()

    def shutdown(self) -> None:
        """Close with 1012: the worker stops, and the client is to come back."""
        if self._phase == grammar.OPEN and not self._closed:
            self._write_close(CloseCode.SERVICE_RESTART)
            self._close(CloseCode.SERVICE_RESTART)

    def _write_close(self, code: int) -> None:
        """Close without waiting for room."""
        event = {"type": grammar.CLOSE, "code": int(code), "reason": ""}
        self.session.write(EVENTS, [event])

    def _end(self, error: BaseException | None) -> str | None:
        """Close what the app has left open, and log what is wrong with its end."""
        if self._phase == grammar.OPEN and not self._closed:
            failed = error is not None
            self._write_close(CloseCode.INTERNAL_ERROR if failed else CloseCode.NORMAL_CLOSURE)
        elif self._phase == grammar.WAITING and isinstance(error, UnsupportedScope):
            logger.warning("refused a %s: %s", self.shown, error)
            self.session.write(EVENTS, [{"type": grammar.CLOSE}])
            return None
        return super()._end(error)

    # --------------------------------------------------------- messages of the app, checked

    def _accept(self, message: Message) -> Message:
        offered = self.scope.get("subprotocols") or []
        Handshake(_PROTOCOL, "", None, offered, 0, 0).response(message, b"")  # raises if not
        return {
            "type": grammar.ACCEPT,
            "subprotocol": message.get("subprotocol"),
            "headers": [field.raw for field in raw_fields(message.get("headers"))],
        }

    def _send(self, message: Message) -> Message:
        text, data = message.get("text"), message.get("bytes")
        _FRAMES.encode(text, data)  # raises if it cannot be sent
        if data is None:
            return {"type": grammar.SEND, "text": text}
        return {"type": grammar.SEND, "bytes": bytes(data)}

    def _check_close(self, message: Message) -> Message:
        code, reason = message.get("code"), message.get("reason")
        code = CloseCode.NORMAL_CLOSURE if code is None else code
        reason = "" if reason is None else reason
        Frames(ServerProtocol(state=State.OPEN), 0, 0).close(code, reason)  # raises if not allowed
        return {"type": grammar.CLOSE, "code": int(code), "reason": reason}

    def _deny(self, message: Message) -> Message:
        self._check_offered("websocket.http.response")
        head = raw_head(message.get("status"), message.get("headers"))
        return {"type": grammar.DENIAL_START, "status": head.status_code, "headers": head.fields}

    def _deny_body(self, message: Message) -> Message:
        return {
            "type": grammar.DENIAL_BODY,
            "body": grammar.check_body(message),
            "more_body": bool(message.get("more_body")),
        }


_CHECKED: Final[dict[str, Any]] = {
    grammar.ACCEPT: SocketSession._accept,
    grammar.SEND: SocketSession._send,
    grammar.CLOSE: SocketSession._check_close,
    grammar.DENIAL_START: SocketSession._deny,
    grammar.DENIAL_BODY: SocketSession._deny_body,
}


def _disconnect(code: int, reason: str = "") -> Message:
    return {"type": "websocket.disconnect", "code": int(code), "reason": reason}
