"""One HTTP request to a consumer of ASGI 1 on a worker (rules L3, L4, L9).

The response is made of the replies that come by its reply channel, and is over when one of them
says so: long after the call of the consumer, perhaps, and by another worker.
"""

from __future__ import annotations

import asyncio
from typing import Any

from bridge.adapters.wsgi_on_asgi.exchange import response_messages
from bridge.asgi1.http import request_content
from bridge.asgi1.http_body import RequestBody, expected_body
from bridge.asgi1.http_outbox import HttpOutbox
from bridge.errors import BridgeError, IllegalMessage, MessageTooLarge, Overloaded
from bridge.gateway.consumer_content import session_channel
from bridge.gateway.front.consumers import AppFailed, Consumers, Told
from bridge.gateway.session import Session
from bridge.gateway.shown import shown_path, shown_request
from bridge.http.error_response import error_response
from bridge.limits import HIGH_WATER
from bridge.log import logger
from bridge.runners.completions import CompletionQueue
from bridge.types import Message, Receive, Scope, Send


class ConsumerRequest:
    """A request; `receive` and `send` are the host's.

    `called`: the session in which its consumer was called already; None: it was not.
    """

    def __init__(
        self,
        consumers: Consumers,
        told: Told,
        called: Session | None,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._consumers = consumers
        self._told = told
        self._scope = scope
        self._receive = receive
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._outbox = HttpOutbox(CompletionQueue(self._loop), consumers.max_message_size)
        self._called = called
        if called is None:
            self._channel = consumers.new_reply_channel()
        else:
            self._channel = session_channel(consumers.offer["replies"], called.number)
        #: What comes of the body, if it is not whole in the message.
        self._body: RequestBody | None = None
        #: The client has left.
        self._left = asyncio.Event()
        #: Why the response cannot be ended as it should.
        self._error: BaseException | None = None
        #: Nothing more is sent.
        self._is_over = False
        #: The consumer has looked at which message it was called with.
        self._tells_apart = False
        self._told_end = False

    async def run(self) -> None:
        """Answer it; raises if the response has begun and cannot be ended."""
        consumers, mount = self._consumers, self._told.mount
        if self._called is not None:
            consumers.attach(self._channel, self._deliver)
            call = consumers.follow(self._called, self._deliver)
        else:
            content = await self._content()
            if self._left.is_set():
                return
            consumers.attach(self._channel, self._deliver)
            call = consumers.start("http.request", content, self._body, mount)
        call.add_done_callback(self._call_ended)
        end_telling = consumers.tell_of_loss(self._fail)
        listening = self._loop.create_task(self._listen())
        timer = None
        if self._told.response_timeout:
            timer = self._loop.call_later(self._told.response_timeout, self._check_late)
        try:
            await self._respond()
        finally:
            if timer is not None:
                timer.cancel()
            listening.cancel()
            end_telling()
            consumers.detach(self._channel)
            self._outbox.close()
            self._is_over = True
            self._tell_end()

    def _tell_end(self) -> None:
        """Tell the consumer of the end, if it is to know (see `bridge.asgi1.http`), once."""
        if self._is_over and not self._told_end and (self._left.is_set() or self._tells_apart):
            self._told_end = True
            end = {"reply_channel": self._channel, "path": self._scope["path"]}
            call = self._consumers.start("http.disconnect", end, mount=self._told.mount)
            call.add_done_callback(_note_end)

    async def _content(self) -> Message:
        """Make the content of ``http.request``, with as much of the body as belongs there."""
        body = b""
        coming = expected_body(self._scope, self._receive, self._leave)
        if coming is not None:
            length, streams = coming.length, self._told.takes_channels
            if not streams if length is None else length <= HIGH_WATER:
                body = await coming.take_small()
            if not coming.is_whole:
                self._body = coming
        return {**request_content(self._scope, body), "reply_channel": self._channel}

    # --------------------------------------------------------- the response

    async def _respond(self) -> None:
        """Send replies until the response is over, or the client has left."""
        outbox = self._outbox
        while True:
            try:
                await outbox.send_all(self._send)
            except OSError:
                self._leave()
            if self._left.is_set() or (outbox.complete and not outbox):
                return
            if self._error is not None:
                raise self._error
            await outbox.sleep_unless(self._has_news)

    def _has_news(self) -> bool:
        outbox = self._outbox
        return bool(outbox) or outbox.complete or self._left.is_set() or self._error is not None

    def _deliver(self, content: Message) -> None:
        """Take a reply from the channel layer. What is wrong with it, the sender does not learn."""
        try:
            self._outbox.deliver(content)
        except (IllegalMessage, MessageTooLarge) as error:
            self._fail(AppFailed(f"the app has sent a reply that is none: {error}"))

    def _call_ended(self, call: asyncio.Task[bool]) -> None:
        error = asyncio.CancelledError() if call.cancelled() else call.exception()
        if error is not None:
            self._fail(error)
        else:
            self._tells_apart = call.result()
            self._tell_end()

    def _fail(self, error: BaseException) -> None:
        """Answer with `error`; if the response has begun, have it cut."""
        if self._outbox.complete or self._error is not None:
            return
        if not isinstance(error, BridgeError) or error.status != 503:
            logger.error("%s: %s", shown_request(self._scope), error)
        head, body = error_response(error, is_head=self._scope["method"] == "HEAD")
        if not self._outbox.answer(response_messages(head, body)):
            self._error = error
        self._outbox.wake()

    def _check_late(self) -> None:
        if not self._outbox.has_begun:
            limit = self._told.response_timeout
            logger.warning("%s: no reply within %g s", shown_path(self._scope), limit)
            self._fail(Overloaded(f"no reply within {limit:g} s"))

    # --------------------------------------------------------- the client

    async def _listen(self) -> None:
        """Listen for the end of the connection, once the body is whole."""
        if self._body is not None:
            await self._body.ended()
        try:
            while (await self._receive())["type"] == "http.request":
                pass
        except OSError:
            pass
        self._leave()

    def _leave(self) -> None:
        self._left.set()
        self._outbox.wake()


def _note_end(call: asyncio.Task[Any]) -> None:
    if not call.cancelled() and call.exception() is not None:
        logger.warning("a consumer was not told that its client has left: %s", call.exception())
