"""One WebSocket of an ASGI 1 consumer (rule L4).

The consumer is called once for each message: ``websocket.connect``, ``websocket.receive`` for each
message of the client, ``websocket.disconnect`` at the end. The next call begins when the one before
has ended; until then the client's messages stay with the host, which slows the client down.

Replies come by the socket's reply channel: from any thread, task or group, at any time, also when
no call runs (`socket_outbox`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Final, NamedTuple, TypeAlias

from bridge.asgi1.call import Caller, ConsumerCall
from bridge.asgi1.http import headers_of
from bridge.asgi1.http_body import RequestBody
from bridge.asgi1.message import Message, ReplyChannel
from bridge.asgi1.socket_outbox import SocketOutbox
from bridge.asgi1.socket_replies import CONNECTING
from bridge.channels.base import ChannelLayer
from bridge.errors import AppError, BridgeError, Overloaded
from bridge.log import logger
from bridge.types import Message as Content
from bridge.types import Receive, Scope, Send

#: Calls the consumer: with the name of the channel of a message, and its content. Returns when the
#: call has ended, and raises what the consumer raises.
CallConsumer: TypeAlias = Callable[[str, Content], Awaitable[object]]

#: Seconds for the host to take our close.
CLOSE_TIMEOUT = 10.0

#: The code of a socket that was not closed properly: its client vanished, or it was refused.
ABNORMAL: Final = 1006
#: The code of a close frame that has none.
NO_CODE: Final = 1005
#: The code of one whose consumer raised; and of one whose consumer's process was lost.
FAILED: Final = 1011
RESTARTED: Final = 1012
#: The code of one whose client does not take what is sent.
TOO_SLOW: Final = 1013


class SocketSettings(NamedTuple):
    """How the sockets of a consumer are served; times are in seconds, 0 for no limit."""

    #: How long a handshake waits for the consumer's answer.
    connect_timeout: float = 20.0
    #: How long a client may take nothing while as much waits for it as can.
    stall_timeout: float = 60.0
    #: The subprotocols that are accepted; a client gets the first of its own that is among them.
    subprotocols: Sequence[str] = ()


class ConsumerSocket:
    """One WebSocket: its host's `receive` and `send` at one end, calls of a consumer at the other.

    `call` calls the consumer. Replies come by a new channel of `layer`.
    """

    def __init__(
        self,
        call: CallConsumer,
        layer: ChannelLayer,
        settings: SocketSettings,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._call_consumer = call
        self._layer = layer
        self._settings = settings
        self._scope = scope
        self._receive = receive
        self._send = send
        subprotocol = choose_subprotocol(scope, settings.subprotocols)
        self.outbox = SocketOutbox(send, subprotocol, layer.max_message_size, self._watch)
        self._channel = ReplyChannel(layer.new_reply_channel(), layer, self.outbox)
        #: The order of the next message to the consumer.
        self._order = 0
        #: The task of `_talk` waits for the client, or for the consumer.
        self._receiving = self._calling = False
        #: Nothing more of the client is taken: nothing can be sent to it, for a reason of ours.
        self._over = False
        #: The host has raised, when something was sent: the client is not there any more.
        self._client_gone = False
        #: The code that the consumer is told at the end.
        self._code = ABNORMAL
        self._writer: asyncio.Task[None]
        #: What the host raised when something was sent.
        self._host_error: Exception | None = None
        self._answer_timer: asyncio.TimerHandle | None = None
        #: Runs from the first reply that found the outbox full.
        self._stall_timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Serve the WebSocket to its end. Raises what the consumer raised, for the host to log."""
        if (await self._receive())["type"] != "websocket.connect":
            return
        try:
            await self._serve()
        except Overloaded as error:
            logger.warning("closed the WebSocket at %r: %s", self._scope["path"], error)

    async def _serve(self) -> None:
        self._layer.attach(self._channel.name, self.outbox.reply)
        try:
            await self._converse()
        finally:
            self._layer.detach(self._channel.name)
            self.outbox.end()
            if not self._calling:  # else the host has cancelled us twice, and will not wait
                await self._call("websocket.disconnect", {"code": self._code})

    async def _converse(self) -> None:
        """Call the consumer and send its replies, until the WebSocket is closed."""
        timeout = self._settings.connect_timeout
        if timeout:
            self._answer_timer = self._loop.call_later(timeout, self._refuse_late, timeout)
        self._writer = self._loop.create_task(self._write())
        talk = self._loop.create_task(self._talk())
        try:
            await asyncio.wait((talk, self._writer), return_when=asyncio.FIRST_COMPLETED)
            if not talk.done():
                await self._end_talk(talk)
            if not talk.cancelled():
                talk.result()
            await self._finish_close()
            if self._host_error is not None:
                raise self._host_error
        except BaseException as error:  # the consumer raised, or the host cancels us
            await self._fail(error, talk)
            raise
        finally:
            self._writer.cancel()
            for timer in (self._answer_timer, self._stall_timer):
                if timer is not None:
                    timer.cancel()

    async def _talk(self) -> None:
        """Pass the client's messages to the consumer, one after the other."""
        await self._call("websocket.connect", connect_content(self._scope))
        while not self._over and self.outbox.code is None:
            self._receiving = True
            event = await self._receive()
            self._receiving = False
            if event["type"] != "websocket.receive":
                self._code = int(event.get("code") or NO_CODE)
                self.outbox.end()
                return
            text = event.get("text")
            data = {"bytes": event["bytes"]} if text is None else {"text": text}
            await self._call("websocket.receive", data)
            await self._give_turn()

    async def _give_turn(self) -> None:
        """Let the replies leave: before the next message is taken, or the end is told.

        So a client that does not read what it gets is slowed down.
        """
        if self.outbox.is_slow:
            await self.outbox.caught_up()
        elif self.outbox:
            await asyncio.sleep(0)

    async def _call(self, channel: str, content: Content) -> None:
        """Call the consumer with the next message."""
        order, self._order = self._order, self._order + 1
        about = {"reply_channel": self._channel, "path": self._scope["path"], "order": order}
        self._calling = True
        try:
            await self._call_consumer(channel, {**about, **content})
        finally:
            self._calling = False

    async def _write(self) -> None:
        """Send the replies, until the close is sent or the client has gone."""
        try:
            await self.outbox.send_all()
        except OSError:  # the host tells it the consumer too, after what the client has sent
            self.outbox.end()
            self._client_gone = True
        except Exception as error:
            self._host_error = error

    # --------------------------------------------------------- the end

    async def _end_talk(self, talk: asyncio.Task[None]) -> None:
        """End the talk, since nothing more can be sent."""
        if not self._client_gone:
            self._over = True
            self.outbox.end()
            if self._receiving:
                talk.cancel()
        await asyncio.wait((talk,))

    async def _fail(self, error: BaseException, talk: asyncio.Task[None]) -> None:
        """Close, since the consumer raised or the host cancels us: after what waits, if it can."""
        if not talk.done():
            talk.cancel()
            await asyncio.wait((talk,))
        if isinstance(error, asyncio.CancelledError):
            if not talk.cancelled():
                talk.exception()  # seen: it failed in the moment in which we are cancelled
            return
        self.outbox.close(_code_for(error))
        await self._finish_close()

    async def _finish_close(self) -> None:
        """Let our close leave, if there is one, after what waits; note the code."""
        if self.outbox.closing or self.outbox:
            self._watch()
            await asyncio.wait((self._writer,))
        if self.outbox.closing:
            self._code = self.outbox.code or ABNORMAL
        elif self._writer.cancelled():
            await self._close_stalled()

    # --------------------------------------------------------- time limits

    def _refuse_late(self, timeout: float) -> None:
        """Refuse the handshake if the consumer has not answered it."""
        if self.outbox.phase == CONNECTING:
            logger.warning(
                "refused the WebSocket at %r: the consumer has not accepted it within %s s",
                self._scope["path"],
                timeout,
            )
            self.outbox.close(ABNORMAL)

    def _watch(self) -> None:
        """See whether the client takes anything in time: as much waits for it as can."""
        timeout = self._settings.stall_timeout
        if timeout and self._stall_timer is None:
            self._stall_timer = self._loop.call_later(
                timeout, self._check_stall, timeout, self.outbox.sent
            )

    def _check_stall(self, timeout: float, sent: int) -> None:
        """Give up if nothing was sent meanwhile; look again if it was, and much still waits."""
        self._stall_timer = None
        if self.outbox.sent != sent:
            if self.outbox.is_slow or self.outbox.code is not None:
                self._watch()
        elif self._writer.cancel():
            logger.warning(
                "closed the WebSocket at %r: its client has taken nothing for %s s",
                self._scope["path"],
                timeout,
            )

    async def _close_stalled(self) -> None:
        """Close without what waits; the host may wait for the client, but not for long."""
        self._code = TOO_SLOW
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._send({"type": "websocket.close", "code": TOO_SLOW})
        except (TimeoutError, OSError):
            pass


def _code_for(error: BaseException) -> int:
    """Return the code of a socket that is closed because a call has raised `error`."""
    if isinstance(error, Overloaded):
        return TOO_SLOW
    lost = isinstance(error, BridgeError) and error.status == HTTPStatus.BAD_GATEWAY
    return RESTARTED if lost else FAILED


# ------------------------------------------------------------- the consumer's messages


def connect_content(scope: Scope) -> Content:
    """Make the content of ``websocket.connect``, but for what all messages have."""
    client, server = scope.get("client"), scope.get("server")
    return {
        "scheme": scope.get("scheme", "ws"),
        "root_path": scope.get("root_path", ""),
        "query_string": scope.get("query_string", b""),
        "headers": headers_of(scope),
        "client": client and list(client),
        "server": server and list(server),
    }


def choose_subprotocol(scope: Scope, supported: Sequence[str]) -> str | None:
    """Return the first of the client's subprotocols that is supported; None: none is."""
    offered = scope.get("subprotocols") or ()
    return next((name for name in offered if name in supported), None)


# ------------------------------------------------------------- calls in this process


def calls_here(caller: Caller, layer: ChannelLayer) -> Callable[..., Awaitable[bool]]:
    """Return what calls a consumer of this process; `CallConsumer`, also with a request's body.

    It returns whether the consumer tells messages apart.
    """

    async def call(channel: str, content: Content, body: RequestBody | None = None) -> bool:
        ending = _Ending()
        receive = None if body is None else body.receive
        running = ConsumerCall(caller, Message(content, channel, layer, receive), ending, body)
        running.start()
        await ending.wait(running)
        return running.message.asked_for_channel

    return call


class _Ending:
    """Waits for the end of a call."""

    __slots__ = ("_ended", "_future")

    def __init__(self) -> None:
        self._ended = False
        self._future: asyncio.Future[None] | None = None

    def call_ended(self, call: ConsumerCall) -> None:
        """`CallOwner`: the call is over."""
        self._ended = True
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def call_waits(self, call: ConsumerCall) -> None:
        """`CallOwner`: a socket keeps its place in the queue; its client waits."""

    async def wait(self, call: ConsumerCall) -> None:
        """Return when the call is over; raises what the consumer raised.

        If the waiting task is cancelled, the call is given up, and its end is awaited all the same:
        the next must not begin before.
        """
        cancelled: asyncio.CancelledError | None = None
        while not self._ended:
            self._future = asyncio.get_running_loop().create_future()
            try:
                await self._future
            except asyncio.CancelledError as error:
                if cancelled is not None:
                    raise
                cancelled = error
                call.give_up()
        if cancelled is not None:
            raise cancelled
        if isinstance(call.error, asyncio.CancelledError):
            raise AppError("the consumer was cancelled, by itself") from call.error
        if call.error is not None:
            raise call.error
