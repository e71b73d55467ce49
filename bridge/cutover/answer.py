"""One response on its way through a `Cutover`: it says who answered, also if that was an error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from bridge.cutover.canary.stickiness import with_cookie
from bridge.errors import ClientDisconnected
from bridge.http.error_response import error_response
from bridge.types import Message, RawHeaders, Receive, Scope, Send

#: Messages that begin a response, or accept a WebSocket, and carry fields.
_STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


class Answer:
    """Sends what an app sends, with `fields` in the head, in place of the app's own of that name.

    `status` is 0 until there is one.

    `cookie` is a field that is on no response that caches may keep for all clients.

    The status of a WebSocket that was accepted is 101, that of one that was refused 403.
    """

    def __init__(
        self,
        scope: Scope,
        send: Send,
        fields: RawHeaders,
        cookie: tuple[bytes, bytes] | None = None,
    ) -> None:
        self.status = 0
        self._scope = scope
        self._send = send
        self._fields = fields
        self._cookie = cookie

    async def run(
        self,
        serve: Callable[[Any, Scope, Receive, Send], Awaitable[None]],
        app: Any,
        scope: Scope,
        receive: Receive,
    ) -> None:
        """Have `serve` run the app. If it raises before the response, that is answered here."""
        try:
            await serve(app, scope, receive, self.send)
        except ClientDisconnected:
            raise
        except Exception as error:
            if self.status == 0 and scope["type"] == "http":
                await self._answer_for(error)
            raise  # the host logs it, and sees that there is a response

    async def send(self, message: Message) -> None:
        """Send a message of the app's."""
        kind = message["type"]
        if kind in _STARTS:
            self.status = message.get("status", 101)
            message = {**message, "headers": self._with_fields(kind, message.get("headers", ()))}
        elif kind == "websocket.close" and not self.status:
            self.status = 403
            if await self._refused(message):
                return
        await self._send(message)

    def _with_fields(self, kind: str, headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
        own = {name for name, _ in self._fields}
        headers = [each for each in headers if each[0].lower() not in own]
        cookie = self._cookie
        if cookie is None:
            return [*headers, *self._fields]
        if kind != "http.response.start":  # no cache keeps it
            return [*headers, cookie, *self._fields]
        return [*with_cookie(headers, cookie), *self._fields]

    async def _refused(self, message: Message) -> bool:
        """Refuse a WebSocket with a response that has the fields, where the host can do that."""
        if "websocket.http.response" not in self._scope.get("extensions", {}) or not self._fields:
            return False
        head = {
            "type": "websocket.http.response.start",
            "status": 403,
            "headers": self._with_fields("", ()),
        }
        await self._send(head)
        await self._send({"type": "websocket.http.response.body", "body": b""})
        return True

    async def _answer_for(self, error: Exception) -> None:
        head, body = error_response(error, is_head=self._scope.get("method") == "HEAD")
        start: Message = {
            "type": "http.response.start",
            "status": head.status_code,
            "headers": head.raw_headers,
        }
        await self.send(start)
        await self._send({"type": "http.response.body", "body": body})
