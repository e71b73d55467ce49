"""One HTTP request that a worker runs: its app's `receive` and `send` (rules L9, L10).

A response that is whole with its first piece, before the gateway was told of anything, is one frame
(`protocol.ANSWER`). Of any other the head leaves with the first piece of the body.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bridge.asgi import messages as grammar
from bridge.asgi.disconnect import DisconnectNotice
from bridge.gateway.back.app_session import AppSession, Sessions
from bridge.gateway.credits import WINDOW
from bridge.gateway.protocol import Request
from bridge.http.response_fields import raw_fields
from bridge.http.response_head import ResponseHead, raw_head
from bridge.http.status import has_no_body
from bridge.types import Message, RawHeaders


class HttpSession(AppSession):
    """One request that an app of this worker answers."""

    def __init__(self, sessions: Sessions, request: Request) -> None:
        super().__init__(sessions, request)
        #: The head that the app gave, until it leaves.
        self._head: ResponseHead | None = None
        #: Whether the app has announced trailers.
        self._trailers = False
        #: What the app was told of the client's end; made when that matters.
        self._notice: DisconnectNotice | None = None
        events = request.events
        #: The request's body, if all of it is here, until the app has it.
        self._body: Message | None = None
        self._has_whole_body = len(events) == 1 and not events[0].get("more_body")
        if self._has_whole_body:
            self._body = events[0]
        else:
            self.tell()  # the gateway sends no more of it before

    async def receive(self) -> Message:
        """Return the next piece of the request's body, or the disconnect (ASGI)."""
        if self._body is not None and self._phase != grammar.OVER:
            body, self._body = self._body, None
            return body
        notice = self._disconnect_notice()
        while self._phase != grammar.OVER:
            session = self.session
            event = None if self._has_whole_body else session.take()
            if event is not None:
                return event
            if session.over is not None:
                break
            notice.note_receiver()
            await session.news.wait()
        return await notice.disconnect()

    def _disconnect_notice(self) -> DisconnectNotice:
        if self._notice is None:
            self._notice = DisconnectNotice()
        return self._notice

    async def send(self, message: Message) -> None:
        """Take a message of the response (ASGI). Waits while the client is slow (L9)."""
        session = self._session
        if session is not None and session.over is not None and not self._answered:
            await self._drop(message)
            return
        try:
            kind = message["type"]
        except (KeyError, TypeError):
            kind = grammar.message_type(message)
        if kind == "http.response.start" and self._phase == grammar.WAITING:
            # Checked now, so that errors are raised in the app; held until the body.
            self._head = raw_head(message.get("status"), message.get("headers"))
            self._phase = grammar.STREAMING
            if message.get("trailers"):
                self._trailers = True
        elif kind == "http.response.body" and self._phase == grammar.STREAMING:
            body = message.get("body", b"")
            if type(body) is not bytes:
                body = grammar.as_bytes(body)
            more = bool(message.get("more_body"))
            if self._told or more or self._trailers or len(body) > WINDOW:
                await self._send_body(message, body, more=more)
            else:
                self._phase = grammar.OVER
                head, self._head = self._head, None
                assert head is not None
                self.answer(head.status_code, head.fields, body)
        else:
            await self._send_slow(kind, message)

    async def _send_body(self, message: Message, body: bytes, *, more: bool) -> None:
        """Send a piece of body that is not the whole of it."""
        self._phase = grammar.next_phase(
            grammar.HTTP, self._phase, message, trailers=self._trailers
        )
        is_whole = self._head is not None and not (more or self._trailers)
        await self._send_start(len(body) if is_whole else None)
        await self._write({"type": grammar.BODY, "body": body, "more_body": more})
        self._tell_if_over()

    async def _send_slow(self, kind: str, message: Message) -> None:
        """Take a message that is rare, or not allowed now."""
        after = grammar.next_phase(grammar.HTTP, self._phase, message, trailers=self._trailers)
        self._check_offered(kind)
        event = _CHECKED[kind](message)
        self._phase = after
        await self._send_start()
        await self._write(event)
        self._tell_if_over()

    async def _send_start(self, length: int | None = None) -> None:
        """Send the head, if that is still here; `length` is that of the whole body, if known."""
        head, self._head = self._head, None
        if head is None:
            return
        status, fields = head.status_code, head.fields
        if length is not None:
            fields = with_length(status, fields, length)
        start = {"type": grammar.START, "status": status, "headers": fields}
        if self._trailers:
            start["trailers"] = True
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
        notice = self._disconnect_notice()
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


def with_length(status: int, fields: RawHeaders, length: int) -> RawHeaders:
    """Return the fields of a response whose body is whole: if it is large, it goes in pieces.

    Its length would be lost then, which a host tells for what it gets in one piece.
    """
    is_told = any(name.lower() == b"content-length" for name, _ in fields)
    if length <= WINDOW or is_told or has_no_body(status):
        return fields
    return [*fields, (b"content-length", b"%d" % length)]


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
