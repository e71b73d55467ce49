"""Exchanges whose app runs on the loop's own thread.

- `InlineExchange`: the app runs to its end, or until the outbox is full, then it is sent;
- `GreenletExchange`: each piece is sent when it is made, and the greenlet waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any

from bridge.adapters.wsgi_on_asgi.exchange import COMPLETE, Exchange, response_messages
from bridge.adapters.wsgi_on_asgi.request_body import RequestBody
from bridge.errors import BridgeError, ClientDisconnected, Overloaded
from bridge.limits import HIGH_WATER
from bridge.types import Message
from bridge.wsgi.call import WsgiCall

#: Seconds that an app may wait before its client is listened to.
_LISTEN_AFTER = 0.05


class LoopExchange(Exchange):
    """The app runs on the loop's own thread."""

    outbox: deque[Message] | None
    _listener: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """Have the loop listen for the end of the connection, from the first call on.

        Many hosts tell it by `receive()` only, which would also bring the body; so not while
        there is one that the app has not read.
        """
        if self._listener is None and (self.body is None or self.body.ended):
            self._listener = self.completions.loop.create_task(self._listen())

    async def _listen(self) -> None:
        body = RequestBody(self._receive) if self.body is None else self.body
        try:
            await body.next()
            await body.disconnected()
        except BridgeError:
            pass
        self.gone = True
        self.runner.interrupt(self, ClientDisconnected("the client is gone"))

    def pull(self) -> bytes:
        """Return the next piece of the body."""
        assert self.body is not None
        return self.runner.wait(self.body.next())

    def is_disconnected(self) -> bool:
        """Whether the client is gone, as far as it is known."""
        self.listen()
        return self.gone

    def put(self, message: Message) -> None:
        """Leave `message` in the outbox."""
        if self.outbox is None:
            self.outbox = deque()
        self.outbox.append(message)

    async def send_outbox(self) -> None:
        """Send what is there. Raises `ClientDisconnected` if the host says so."""
        outbox = self.outbox
        try:
            while outbox:
                await self._send(outbox.popleft())
            if self.whole is not None:
                for message in response_messages(*self.whole):
                    await self._send(message)
        except OSError as error:
            self.gone = True
            raise ClientDisconnected(f"the client is gone: {error}") from error

    def leave(self) -> None:
        """Stop listening: the request is over."""
        super().leave()
        if self._listener is not None:
            self._listener.cancel()


class InlineExchange(LoopExchange):
    """The app runs to its end, or until the outbox is full; its body was taken whole before."""

    #: Bytes of body in the outbox.
    _outbox_size = 0

    def begin(
        self, call: WsgiCall, context: Context, news: Callable[[], object] | None = None
    ) -> None:
        """Run the app, to its end or its first pause."""
        super().begin(call, context)
        self.runner.submit(self)
        if news is not None:
            news()

    async def go_on(self) -> None:
        """Send, and run the app on while it pauses."""
        try:
            await self.send_outbox()
            while self.phase < COMPLETE and not self.gone:
                self.listen()
                self._outbox_size = 0
                await asyncio.sleep(0)  # a send() that never waits must not hold the loop
                self.runner.submit(self)
                await self.send_outbox()
        except ClientDisconnected:
            return
        finally:
            if self.phase < COMPLETE:
                self.runner.cancel(self)

    def cancel(self) -> None:
        """Give up a paused call."""
        assert self.call is not None
        self.context.run(self.call.cancel)

    def write(self, chunk: bytes) -> bool:
        """Take one piece; False asks for a pause, if 64 KiB or more wait (W39)."""
        self.put({"type": "http.response.body", "body": chunk, "more_body": True})
        self._outbox_size += len(chunk)
        return self._outbox_size < HIGH_WATER

    def flush(self) -> None:
        """Do nothing: the outbox is sent when the app pauses or ends."""

    def send_file(self, file: Any, block_size: int, count: int | None) -> bool:
        """Return False: the app closes its file before it could be sent."""
        return False


class GreenletExchange(LoopExchange):
    """The app runs on the loop, in a greenlet that waits while a piece is sent."""

    async def go_on(self) -> None:
        """Run the app as part of this task, and send what is left."""
        listening = self.completions.loop.call_later(_LISTEN_AFTER, self.listen)  # if it waits
        try:
            try:
                await self.runner.run(self)
            except Overloaded as error:
                self.refuse(error)
            await self.send_outbox()
        except ClientDisconnected:
            return
        finally:
            listening.cancel()

    def write(self, chunk: bytes) -> bool:
        """Send one piece; returns when the host has it and the loop has had its turn (G1)."""
        if self.gone:
            raise ClientDisconnected("the client is gone")
        self.put({"type": "http.response.body", "body": chunk, "more_body": True})
        self.listen()
        self.runner.wait(self._send_in_turn())
        return True

    async def _send_in_turn(self) -> None:
        await self.send_outbox()
        await asyncio.sleep(0)

    def flush(self) -> None:
        """Wait while the outbox is sent."""
        self.runner.wait(self.send_outbox())
