"""One call of an ASGI 1 consumer on a worker (rule L9).

Its gateway has the client and makes the messages (`protocol.py`); here the consumer is called with
one of them. Replies do not come by here: they go by the channel layer to the gateway, from whoever
sends them.
"""

from __future__ import annotations

import asyncio
from typing import Any

from bridge.asgi import messages as grammar
from bridge.asgi1.app import ConsumerApp
from bridge.asgi1.http_body import RequestBody
from bridge.asgi1.message import ReplyChannel
from bridge.channels.names import check_channel
from bridge.gateway.back.app_session import AppSession, Sessions
from bridge.gateway.back.mounted_consumers import Found, consumer_at
from bridge.gateway.back.reply_clients import HttpClient, SocketClient
from bridge.gateway.consumer_content import TELLS_APART
from bridge.gateway.protocol import CONSUMER, CONSUMERS, END, EVENTS, TAKEN, Request
from bridge.gateway.session import Session
from bridge.gateway.shown import shown_path
from bridge.types import ASGIApp, Message


class ConsumerSession(AppSession):
    """One message to a consumer."""

    runs = CONSUMER

    def __init__(self, sessions: Sessions, request: Request) -> None:
        super().__init__(sessions, request)
        scope = self.scope
        self._phase = grammar.OVER  # no response is due here
        self._channel = scope.get("channel")
        self._content = scope.get("content")
        content = self._content if isinstance(self._content, dict) else {}
        self._shown = f"{self._channel} {shown_path(content)}"
        #: Whom the replies of this call go to, once it has begun.
        self._client: HttpClient | SocketClient | None = None

    @property
    def shown(self) -> str:
        """Return the message, for the log."""
        return self._shown

    async def run(self, app: ASGIApp, state: dict[str, Any]) -> None:
        """Call the consumer, and tell the gateway how that has ended."""
        self.tell()
        error: BaseException | None = None
        try:
            await self._call(consumer_at(app, str(self.scope.get("mount", ""))))
        except (Exception, asyncio.CancelledError, SystemExit) as caught:
            error = caught
        self.end(error)

    def _end(self, error: BaseException | None) -> str | None:
        """Log what the call raised; the gateway is not told if the response is whole by then."""
        text = super()._end(error)
        client = self._client
        return None if isinstance(client, HttpClient) and client.is_over else text

    async def _call(self, app: ConsumerApp) -> None:
        channel, content, layer = self._channel, self._content, app.layer
        if not isinstance(channel, str) or not isinstance(content, dict):
            raise TypeError(f"a message has channel {channel!r:.60} and content {content!r:.60}")
        name = check_channel(content.get("reply_channel"))
        kind = SocketClient if channel.startswith("websocket.") else HttpClient
        self._client = kind(name, layer)
        content["reply_channel"] = ReplyChannel(name, layer, self._client)
        if "headers" in content:
            content["headers"] = [(field, value) for field, value in content["headers"]]
        if await self._call_with_body(app, channel, content) and channel == "http.request":
            self.session.write(EVENTS, [TELLS_APART])

    async def _call_with_body(self, app: ConsumerApp, channel: str, content: Message) -> bool:
        """Call the consumer; the rest of a body can be read meanwhile."""
        if not self.scope.get("more_body"):
            return await app.call(channel, content)
        body = RequestBody(self.receive, None, lambda: None)
        content["body_channel"] = app.layer.new_channel("http.request.body?")
        source = app.layer.attach_source(content["body_channel"], body.receive)
        try:
            return await app.call(channel, content, body)
        finally:
            source.close(body.end())

    async def receive(self) -> Message:
        """Return the next piece of the request's body, or the disconnect."""
        session = self.session
        while (event := session.take()) is None and session.over is None:
            await session.news.wait()
        return {"type": "http.disconnect"} if event is None else event


def hand_back(session: Session, found: Found) -> None:
    """Have the gateway make messages of a request: it is for a consumer."""
    session.write(TAKEN, CONSUMER)
    session.write(EVENTS, [{"type": CONSUMERS, **found.told()}])
    session.write(END, None)
