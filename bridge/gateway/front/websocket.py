"""One WebSocket that a worker has (rules L9, L10)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from websockets.frames import CloseCode

from bridge.asgi import messages as grammar
from bridge.asgi1.websocket import FAILED, ConsumerSocket, SocketSettings
from bridge.channels.base import Deliver
from bridge.errors import (
    BridgeError,
    IllegalMessage,
    LayerUnavailable,
    MessageTooLarge,
    Overloaded,
)
from bridge.gateway.front.consumers import AppFailed, Consumers, Told
from bridge.gateway.front.exchange import Exchange
from bridge.gateway.front.http import send_error
from bridge.gateway.session import SessionLost
from bridge.log import logger
from bridge.types import Message, Receive

#: What a host offers that can refuse a WebSocket by a response.
_DENIAL = "websocket.http.response"


class SocketExchange(Exchange):
    """A WebSocket."""

    _phase = grammar.WAITING
    more_to_come = True
    #: Why a consumer could not be called, or was lost with its worker.
    _call_error: BridgeError | None = None

    def taken(self) -> None:
        """Take the messages of the client."""
        self.watch()

    async def take_event(self, event: Message) -> None:
        """Take a message, or the end, which ends the exchange when the worker has been told."""
        if not self.session.peer:
            self.left()  # nothing else can come before the handshake has an answer
            return
        await super().take_event(event)
        if event["type"] == "websocket.disconnect":
            self.client_left = True
            self.session.leave()

    @property
    def unfinished(self) -> str:
        """Return what is missing of the answer to the handshake."""
        if self._phase == grammar.WAITING:
            return "without a response"
        return "with its response unfinished" if self._phase == grammar.DENYING else ""

    def note(self, event: Message) -> bool:
        """Note what the app sends; the last is what the client does."""
        kind = event["type"]
        if kind == grammar.ACCEPT:
            self._phase = grammar.OPEN
        elif kind == grammar.CLOSE:
            self._phase = grammar.OVER
        elif kind == grammar.DENIAL_START:
            self._phase = grammar.DENYING
        elif kind == grammar.DENIAL_BODY and not event.get("more_body"):
            self._phase = grammar.OVER
        return False

    async def _pass_on(self, event: Message) -> None:
        """Send what a consumer's socket sends; a handshake that was lost has its error."""
        error, refused = self._call_error, event["type"] == grammar.CLOSE
        if error is not None and refused and self._phase == grammar.WAITING:
            await self.refuse(error)
            return
        self.note(event)
        await self._send(event)

    async def converse(self, told: Told, receive: Receive) -> None:
        """Have consumers of workers called for each message."""
        self.session.leave()
        consumers = self._consumers
        settings = SocketSettings(*told[2:5])

        async def call(channel: str, content: Message) -> None:
            try:
                await consumers.call(channel, content, mount=told.mount)
            except (SessionLost, LayerUnavailable, Overloaded) as error:
                self._call_error = error
                if isinstance(error, LayerUnavailable):
                    raise SessionLost(str(error)) from error
                raise

        def fail(error: BridgeError) -> None:
            self._call_error = error
            logger.error("%s: %s", self.shown, error)
            socket.outbox.close(FAILED)

        layer: Any = _Replies(consumers, fail)
        socket = ConsumerSocket(call, layer, settings, self._scope, receive, self._pass_on)
        talk = asyncio.create_task(socket.run())
        lost: list[BridgeError] = []

        def lose(error: BridgeError) -> None:
            lost.append(error)
            talk.cancel()

        end_telling = consumers.tell_of_loss(lose)
        try:
            await asyncio.wait([talk])
        finally:
            talk.cancel()
            end_telling()
        error = None if talk.cancelled() else talk.exception()
        if lost:
            await self._refuse(lost[0])
        elif isinstance(error, BridgeError):
            logger.error("%s: %s", self.shown, error)
        elif error is not None:
            raise error

    async def refuse(self, error: BridgeError) -> None:
        """Close, or refuse the handshake: 1012 if the client may come back at once."""
        if self._phase == grammar.OPEN:
            failed = isinstance(error, AppFailed)
            code = CloseCode.INTERNAL_ERROR if failed else CloseCode.SERVICE_RESTART
            await self._send({"type": grammar.CLOSE, "code": int(code), "reason": ""})
        elif self._phase == grammar.DENYING:
            raise error
        elif self._phase == grammar.WAITING:
            if _DENIAL in (self._scope.get("extensions") or {}):
                await send_error(error, self._send, start=grammar.DENIAL_START)
            else:
                await self._send({"type": grammar.CLOSE})


class _Replies:
    """What a socket needs of a channel layer; a reply that is none ends it by `fail`.

    Its sender does not learn what is wrong with it.
    """

    def __init__(self, consumers: Consumers, fail: Callable[[BridgeError], None]) -> None:
        self._consumers = consumers
        self._fail = fail
        self.max_message_size = consumers.max_message_size
        self.new_reply_channel, self.detach = consumers.new_reply_channel, consumers.detach

    def attach(self, channel: str, deliver: Deliver) -> None:
        """Have each reply to `channel` passed to `deliver`."""

        def take(content: Message) -> None:
            try:
                deliver(content)
            except (IllegalMessage, MessageTooLarge) as error:
                self._fail(AppFailed(f"the app has sent a reply that is none: {error}"))

        self._consumers.attach(channel, take)
