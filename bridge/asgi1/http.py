"""One HTTP request to a consumer (L2 to L4).

The consumer is called with ``http.request``, and the response is made of the replies that come by
its reply channel, whoever sends them: it is over when a reply says so, and not when the consumer
returns. Until then the request's task sends what comes:

    call -> send what is there -> over? -> sleep until a reply, the end of the call, or the client's

The host is listened to for the end of the connection only if the response is not there soon: most
requests are over before that.

After the response, or if the client leaves before its end, the consumer is called once more, with
``http.disconnect``: always if the client has left, and else if it tells messages apart, that is, if
it has looked at ``message.channel``. A consumer that never does would take it for a request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Final, Protocol, TypeAlias

from bridge.adapters.wsgi_on_asgi.exchange import response_messages
from bridge.asgi.disconnect import is_disconnect
from bridge.asgi1.call import Caller, CallOwner, ConsumerCall
from bridge.asgi1.http_body import RequestBody, expected_body, may_have_body
from bridge.asgi1.http_outbox import HttpOutbox
from bridge.asgi1.message import Message, ReplyChannel
from bridge.channels.base import ChannelLayer
from bridge.channels.sources import Source
from bridge.errors import AppError, BridgeError, Overloaded
from bridge.http.error_response import error_response
from bridge.http.response_head import ResponseHead
from bridge.limits import HIGH_WATER
from bridge.log import logger
from bridge.types import Message as Content
from bridge.types import Receive, Scope, Send

#: The name of a field in lower case, and its value.
Field: TypeAlias = tuple[bytes, bytes]

#: Seconds after which the host is asked whether the client is still there.
_LISTEN_AFTER: Final = 0.05


class FirstCall(Protocol):
    """The call of a consumer that a host has begun by itself, and what has come of it."""

    layer: ChannelLayer

    @property
    def channel(self) -> ReplyChannel:
        """The reply channel."""

    @property
    def outbox(self) -> HttpOutbox:
        """The outbox, with what was replied."""

    @property
    def call(self) -> ConsumerCall:
        """The call."""

    def hand_over(self, owner: CallOwner) -> None:
        """Tell `owner` of the end of the call; that may be at once."""


class HttpExchange:
    """One request: its host's `receive` and `send` at one end, a consumer at the other.

    `timeout`: seconds that the consumer has for its first reply; 0: any time. `first`: the call of
    the consumer, which was begun; then only `finish` is to be awaited.
    """

    __slots__ = (
        *("_body", "_calls", "_caller", "_channel", "_client_left", "_deadline"),
        *("_error", "_layer", "_listener", "_outbox", "_receive", "_request"),
        *("_scope", "_send", "_source", "_timeout", "_timer"),
    )

    def __init__(
        self,
        caller: Caller,
        layer: ChannelLayer,
        timeout: float,
        scope: Scope,
        receive: Receive,
        send: Send,
        first: FirstCall | None = None,
    ) -> None:
        self._caller = caller
        self._layer = layer
        self._timeout = timeout
        self._scope = scope
        self._receive = receive
        self._send = send
        if first is None:
            self._outbox = outbox = HttpOutbox(caller.completions, layer.max_message_size)
            self._channel = ReplyChannel(layer.new_reply_channel(), layer, outbox)
        else:
            self._outbox, self._channel = first.outbox, first.channel
        #: What comes of the request's body, if it is not whole in the message.
        self._body: RequestBody | None = None
        #: The call with the request, and all calls that are under way.
        self._request: ConsumerCall
        self._calls: list[ConsumerCall] = []
        #: What the consumer raised, for the host.
        self._error: BaseException | None = None
        self._client_left = False
        #: Listens for the end of the connection.
        self._listener: asyncio.Task[None] | None = None
        #: The body on the channel layer.
        self._source: Source | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        if first is not None:
            self._request = call = first.call
            self._calls.append(call)
            first.hand_over(self)

    async def run(self) -> None:
        """Serve the request to its end. Raises what the consumer raised, for the host to log.

        A host that can send a whole response in one go calls `begin`, `whole` and `finish` instead.
        """
        if not self.begin():
            body = await self._take_body()
            if self._client_left:
                return
            self._begin(body)
        await self.finish()

    def begin(self) -> bool:
        """Call the consumer; False if the request's body has to be awaited before: nothing is done.

        Then, either `whole` returns the response, or `finish` must be awaited.
        """
        if may_have_body(self._scope, dict(self._scope["headers"])):
            return False
        self._begin(b"")
        return True

    def _begin(self, body: bytes) -> None:
        self._layer.attach(self._channel.name, self._outbox.deliver)
        self._call("http.request", self._content(body), self._body)

    def whole(self) -> tuple[ResponseHead, bytes] | None:
        """Return the response if nothing else is left to be done, and end the exchange; or None."""
        if self._calls or self._error is not None or self._request.message.asked_for_channel:
            return None
        whole = self._outbox.take_whole()
        if whole is not None:
            self._layer.detach(self._channel.name)
        return whole

    async def finish(self) -> None:
        """Send the replies, and see the request to its end. Raises as `run` does."""
        outbox = self._outbox
        try:
            await self._respond()
            self._stop_waiting()
            self._disconnect()
            while self._calls:
                await outbox.sleep_unless(lambda: not self._calls)
        except BaseException:  # the host cancels us, or has refused what we sent
            for call in self._calls.copy():
                call.give_up()
            raise
        finally:
            self._layer.detach(self._channel.name)
            self._stop_waiting()
            if self._source is not None and self._body is not None:
                self._source.close(self._body.end())
            if not outbox.complete:
                outbox.close()
        if self._error is not None:
            raise self._error

    # --------------------------------------------------------- the request

    async def _take_body(self) -> bytes:
        """Return as much of the body as belongs in the message; `_body` is the rest, if any."""
        body = expected_body(self._scope, self._receive, self._client_has_left)
        if body is None:
            return b""
        length, streams, taken = body.length, self._caller.takes_channels, b""
        if not streams if length is None else length <= HIGH_WATER:
            taken = await body.take_small()
        if not body.is_whole:
            self._body = body
        return taken

    def _content(self, body: bytes) -> Content:
        """Make the content of ``http.request``."""
        content = request_content(self._scope, body)
        content["reply_channel"] = self._channel
        if self._body is not None and not self._caller.takes_channels:
            channel = content["body_channel"] = self._layer.new_channel("http.request.body?")
            self._source = self._layer.attach_source(channel, self._body.receive)
        return content

    # --------------------------------------------------------- calls of the consumer

    def _call(self, channel: str, content: Content, body: RequestBody | None = None) -> None:
        """Call the consumer with a message."""
        receive = None if body is None else body.receive
        message = Message(content, channel, self._layer, receive)
        call = ConsumerCall(self._caller, message, self, body)
        if channel == "http.request":
            self._request = call
        self._calls.append(call)
        call.start()

    def call_ended(self, call: ConsumerCall) -> None:
        """`CallOwner`: note that a call is over, and what it raised."""
        self._calls.remove(call)
        if call.error is not None and not (call.refused and call is not self._request):
            self._failed(call.error)
        self._outbox.wake()

    def _failed(self, error: BaseException) -> None:
        """Answer for the consumer, which has raised `error`, or keep it for the host."""
        if self._client_left and is_disconnect(error):
            return
        if (
            not isinstance(error, BridgeError)
            or error.status in (499, 500)
            or not self._answer(error)
        ):
            self._keep(error)

    def _keep(self, error: BaseException) -> None:
        """Keep what the consumer raised for the host, which is told of one error."""
        if not isinstance(error, Exception):  # it would end the host, or look like its own
            raised = AppError(f"the consumer raised {error!r}")
            raised.__cause__ = error
            error = raised
        if self._error is None:
            self._error = error
        else:
            logger.error("error in the consumer at %s", self._name, exc_info=error)

    def _disconnect(self) -> None:
        """Tell the consumer of the end, if it is to know (see the top of this file)."""
        if self._client_left:
            if self._request.withdraw():
                return  # it has not heard of the request
        elif not self._request.message.asked_for_channel:
            return
        self._outbox.close()
        content = {"reply_channel": self._channel, "path": self._scope["path"]}
        self._call("http.disconnect", content)

    # --------------------------------------------------------- the response

    async def _respond(self) -> None:
        """Send replies until the response is over, the client has left, or the consumer failed."""
        outbox = self._outbox
        while True:
            if outbox:
                try:
                    await outbox.send_all(self._send)
                except OSError:
                    self._client_has_left()
            if self._client_left or self._error is not None:
                return
            if outbox.complete and not outbox:  # in this order: it is complete after its last piece
                return
            self._start_timer()
            await outbox.sleep_unless(self._has_news)

    def _has_news(self) -> bool:
        outbox = self._outbox
        return bool(outbox) or outbox.complete or self._client_left or self._error is not None

    def _answer(self, error: BridgeError) -> bool:
        """Answer for the consumer, with what `error` says; False if it has begun to."""
        is_head = self._scope["method"] == "HEAD"
        head, body = error_response(error, is_head=is_head)
        if not self._outbox.answer(response_messages(head, body)):
            return False
        level = logging.INFO if error.status < 500 else logging.WARNING
        logger.log(level, "refused %s: %s", self._name, error)
        return True

    @property
    def _name(self) -> str:
        return f"{self._scope['method']} {self._scope['path']!r}"

    # --------------------------------------------------------- time, and the client

    def _start_timer(self) -> None:
        """At the first sleep: look up in a while."""
        if self._timer is None:
            loop = self._caller.completions.loop
            self._deadline = loop.time() + self._timeout
            first = min(_LISTEN_AFTER, self._timeout or _LISTEN_AFTER)
            self._timer = loop.call_later(first, self._look_up)

    def _look_up(self) -> None:
        """Listen for the client, and see whether the consumer is too late with its first reply."""
        self._listen()
        if self._timeout and not self._outbox.has_begun:
            loop = self._caller.completions.loop
            if loop.time() < self._deadline:
                self._timer = loop.call_at(self._deadline, self._look_up)
            else:
                late = f"no reply within {self._timeout:g} s; what comes later is dropped"
                self._answer(Overloaded(late))

    def _listen(self) -> None:
        """Listen for the end of the connection, from the first call on."""
        if self._listener is None:
            self._listener = self._caller.completions.loop.create_task(self._receive_end())

    async def _receive_end(self) -> None:
        try:
            if self._body is not None:
                await self._body.ended()
            event = await self._receive()
            while event["type"] == "http.request":
                event = await self._receive()
        except Exception as error:
            logger.debug("the host's receive() failed: %r", error)
        self._client_has_left()

    def _client_has_left(self) -> None:
        """Drop what waits and what comes, unless the host has it all."""
        if not (self._outbox.complete and not self._outbox):
            self._client_left = True
            self._layer.detach(self._channel.name)
            self._outbox.close()

    def _stop_waiting(self) -> None:
        """Stop the timer, and listen no more: the response is over."""
        if self._timer is not None:
            self._timer.cancel()
        if self._listener is not None:
            self._listener.cancel()


def request_content(scope: Scope, body: bytes) -> Content:
    """Make the content of ``http.request``, with room for the reply channel."""
    get = scope.get
    client, server = get("client"), get("server")
    return {
        "reply_channel": None,
        "http_version": scope["http_version"],
        "method": scope["method"],
        "scheme": get("scheme", "http"),
        "path": scope["path"],
        "query_string": get("query_string", b""),
        "root_path": get("root_path", ""),
        "headers": plain_fields(scope["headers"]),
        "body": body,
        "client": client and [*client],
        "server": server and [*server],
    }


def headers_of(scope: Scope) -> list[Field]:
    """Return the request's fields for a consumer (`plain_fields`)."""
    return plain_fields(scope["headers"])


#: Names of fields that have no underscore and are not long; the same few come again and again.
PLAIN_NAMES: set[bytes] = set()
_MOST_NAMES: Final = 1024
_LONGEST_NAME: Final = 64
_name_of: Final[Callable[[Field], bytes]] = itemgetter(0)


def plain_fields(fields: Iterable[Field]) -> list[Field]:
    """Return a list of `fields`, without those whose name has an underscore.

    Apps read fields by names in which hyphens are underscores: a client could pass one field off
    for another. daphne 1 left them out, too.
    """
    found = [*fields]
    if not PLAIN_NAMES.issuperset(map(_name_of, found)):
        found = [field for field in found if b"_" not in field[0]]
        if len(PLAIN_NAMES) > _MOST_NAMES:
            PLAIN_NAMES.clear()
        PLAIN_NAMES.update(name for name, _ in found if len(name) <= _LONGEST_NAME)
    return found
