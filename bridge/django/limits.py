"""`max_body_size` and `timeout_request` for async views, where no server of ours holds them (M30).

Synchronous views have them from `WsgiToAsgi`; on our own server both kinds have the server's.
"""

from __future__ import annotations

import asyncio

from bridge.errors import BridgeError, RequestError, RequestTimeout
from bridge.http.error_response import error_response
from bridge.log import logger
from bridge.types import ASGIApp, Message, Receive, Scope, Send


class Limits:
    """Limits of requests: bytes of a body, and seconds until there is a piece of response.

    None, or no seconds: there is no such limit.
    """

    def __init__(self, max_body_size: int | None, timeout_request: float | None) -> None:
        self._max_size = max_body_size
        self._seconds = timeout_request or None
        #: Whether there is one at all.
        self.any = self._max_size is not None or self._seconds is not None

    async def serve(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Have `app` serve a request; what breaks a limit is answered here, or cut."""
        request = _Limited(self._max_size, self._seconds, receive, send)
        try:
            await request.run(app, scope)
        except BridgeError as error:
            if error is not request.error or request.begun:
                raise  # the server ends a response that has begun
            head, body = error_response(error, is_head=scope["method"] == "HEAD")
            await send({"type": "http.response.start", "status": head.status_code,
                        "headers": head.raw_headers})  # fmt: skip
            await send({"type": "http.response.body", "body": body})


class _Limited:
    """One request."""

    def __init__(
        self, max_size: int | None, seconds: float | None, receive: Receive, send: Send
    ) -> None:
        self._max_size = max_size
        self._seconds = seconds
        self._receive, self._send = receive, send
        self._received = 0
        self._time: asyncio.Timeout
        #: Whether the response has begun.
        self.begun = False
        #: What broke a limit.
        self.error: BridgeError | None = None

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Run the app. Raises `error`, and what the app raises."""
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit():
                self._check(int(value))
        if self.error is not None:
            raise self.error
        try:
            async with asyncio.timeout(self._seconds) as self._time:
                await app(scope, self.receive, self.send)
        except TimeoutError:
            if not self._time.expired():
                raise
            logger.warning(
                "%s %s has run for longer than timeout_request (%g s), and was cancelled",
                scope["method"], scope["path"], self._seconds,
            )  # fmt: skip
            self.error = RequestTimeout()
        if self.error is not None:
            raise self.error

    async def receive(self) -> Message:
        """Receive a message; a client whose body is too large has left, as far as the app knows."""
        message = await self._receive()
        self._received += len(message.get("body") or b"")
        self._check(self._received)
        return message if self.error is None else {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Send a message; the time that the client takes is not the app's."""
        if self._time.expired():
            return  # Django 5.2 goes on for a while
        self.begun = True
        self._time.reschedule(None)
        await self._send(message)
        if self._seconds is not None:
            self._time.reschedule(asyncio.get_running_loop().time() + self._seconds)

    def _check(self, size: int) -> None:
        if self._max_size is not None and size > self._max_size:
            self.error = RequestError(
                f"the request's body has more than {self._max_size} bytes; raise max_body_size to "
                "allow it", 413,
            )  # fmt: skip
