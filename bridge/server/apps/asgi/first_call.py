"""The call of a consumer with a request whose body is here: most answer whole, and at once.

As long as nothing else has happened, this one object is the job of the runner, the client that the
reply channel leads to, and all that is known of the response. When something has (a reply in
pieces, no reply, an error, a generator, a thread that takes its time), `HttpExchange` takes over:
it gets an outbox and a `ConsumerCall` that know what has come so far.

In a thread, a reply and the end of the job are news for the loop, mostly one piece of news:

    thread: leave the reply, put this; ...; has_ended = True; is_awaited? put this again
    loop:   is_awaited = True; look whether it has_ended

Whichever comes second sees the other, so no end is missed.
"""

from __future__ import annotations

from contextvars import copy_context
from typing import Any, Final

from bridge.asgi1.call import Caller, CallOwner, ConsumerCall
from bridge.asgi1.http_outbox import HttpOutbox
from bridge.asgi1.http_replies import FirstReply, first_reply
from bridge.asgi1.message import Message, ReplyChannel
from bridge.channels.base import ChannelLayer
from bridge.errors import BridgeError
from bridge.http.response_head import ResponseHead
from bridge.loops.waiters import unpatched
from bridge.runners.base import occupied_runners
from bridge.types import Address
from bridge.types import Message as Content

_new_lock: Final = unpatched("allocate_lock")

# How far it is, on the loop.
FRESH: Final = 0
#: What takes over has the rest.
HANDED_OVER: Final = 1
#: So has the host, or the end was told.
OVER: Final = 2

#: What the reply is when it was taken: nothing may follow it.
_TAKEN: Final[FirstReply] = (ResponseHead(0, [], 0, b"", None, False), b"", False)


class FirstCall:
    """The call of a consumer with ``http.request``; a `Job`, and the `Client` of its replies.

    Made on the loop, by a caller that `may_be_quick`. `content` is the message, with room for the
    reply channel.
    """

    # No class attribute has the name of one of these: instances read and write them fast so.
    __slots__ = (
        *("_call", "_channel", "_error", "_is_awaited", "_is_paused", "_lock", "_message", "_name"),
        *("_outbox", "_owner", "_reply", "caller", "exchange", "has_ended", "layer"),
        *("phase", "queued_at"),
    )

    queued_at: float
    #: `Client`: it takes a reply at once, and the outbox takes all that follow.
    is_slow: Final = False
    is_gone: Final = False

    def __init__(
        self, caller: Caller, layer: ChannelLayer, content: Content, exchange: Any
    ) -> None:
        self.caller = caller
        #: Of the request, whose handler goes on; None at the end.
        self.exchange = exchange
        self.layer = layer
        self._name = name = layer.new_reply_channel()
        # Both None at the end: they lead here, and a circle would wait for the collector.
        self._channel: ReplyChannel | None = ReplyChannel(name, layer, self)
        content["reply_channel"] = self._channel
        self._message: Message | None = Message(content, "http.request", layer)
        self.phase = FRESH
        #: Held while a reply is taken, and while what takes over is made.
        self._lock = _new_lock()
        #: The first reply, if it is the whole response.
        self._reply: FirstReply | None = None
        #: What takes over.
        self._outbox: HttpOutbox | None = None
        self._call: ConsumerCall | None = None
        #: Who is told of its end; None if nobody is any more.
        self._owner: CallOwner | None = None
        #: What the consumer raised, or why it was not called.
        self._error: BaseException | None = None
        #: The job has ended; and the loop is to be told.
        self.has_ended = self._is_awaited = False
        #: It is a generator that waits for its client (inline runner).
        self._is_paused = False
        layer.attach(name, self.deliver)

    # --------------------------------------------------------- on the loop

    def take_whole(self) -> tuple[ResponseHead, bytes] | None:
        """Return the response if nothing else is left to be done, and end the exchange; or None."""
        reply, message = self._reply, self._message
        if (
            reply is None
            or not self.has_ended
            or self._error is not None
            or self._outbox is not None
            or self._call is not None
            or message is None
            or message.asked_for_channel
        ):
            return None
        self._reply = _TAKEN
        self._message = self._channel = self.exchange = None
        self.phase = OVER
        self.layer.detach(self._name)
        return reply[0], reply[1]

    @property
    def waits_for_end(self) -> bool:
        """Whether the whole response is here, and only the end of the job is not."""
        return self._reply is not None and self._outbox is None and not self.has_ended

    @property
    def channel(self) -> ReplyChannel:
        """The reply channel."""
        assert self._channel is not None
        return self._channel

    @property
    def outbox(self) -> HttpOutbox:
        """The outbox that takes over, with the reply that has come."""
        with self._lock:
            return self._open_outbox()

    @property
    def call(self) -> ConsumerCall:
        """The call that takes over."""
        with self._lock:
            return self._open_call()

    def hand_over(self, owner: CallOwner) -> None:
        """Leave the rest to `outbox` and `call`, and tell `owner` of the end."""
        self.phase = HANDED_OVER
        self._owner = owner
        self._is_awaited = True
        if self.has_ended or self._is_paused:
            self._tell_end()

    def _tell_end(self) -> None:
        self.phase = OVER
        self.call.job_ended(self._error)

    def call_ended(self, call: ConsumerCall) -> None:
        """`CallOwner`: tell whoever has taken over."""
        owner, self._owner = self._owner, None
        assert owner is not None
        owner.call_ended(call)

    def on_completed(self) -> None:
        """`Completion`: a thread has news."""
        if self.phase == FRESH:
            self._is_awaited = True
            self.exchange.handler.look(self)
        elif self.phase == HANDED_OVER and self.has_ended:
            self._tell_end()

    def refuse(self, error: BridgeError) -> None:
        """`Job`: end without a call, since the runner has no place for it."""
        if self.phase == FRESH:
            self._error = error
            self.has_ended = True
            self.exchange.handler.take_over(self)
        else:
            self.call.refuse(error)

    # --------------------------------------------------------- the job

    @property
    def peer(self) -> Address | None:
        """The client's address and port."""
        message = self._message
        client = None if message is None else message.content.get("client")
        return None if client is None else tuple(client)

    @property
    def streams(self) -> bool:
        """Whether a reply has left, and more are to come."""
        outbox = self._outbox
        return outbox is not None and outbox.streams

    def on_long_wait(self) -> None:
        """Do nothing: what takes over listens for the client."""

    def cancel(self) -> None:
        """Give up a generator that has paused (inline runner)."""
        self.call.cancel()

    def __call__(self) -> bool:
        """Call the consumer; False if it is a generator that pauses."""
        caller, message = self.caller, self._message
        if self._is_paused or message is None:
            return self._keep(None)
        try:
            if caller.takes_channels:
                content = {**message.content, "channel": "http.request"}
                result = caller.consumer(content, {"reply": self._channel})
            else:
                result = caller.consumer(message)
        except BaseException as error:
            self._error = error
        else:
            if result is not None:
                return self._keep(result)
        self.has_ended = True
        if caller.threaded and (self._reply is None or self._is_awaited):
            caller.completions.put(self)
        return True

    def _keep(self, result: Any) -> bool:
        """Keep what the consumer has returned, for the call that takes over."""
        context = None
        if self.caller.threaded:  # what is left for the loop holds no thread
            context = copy_context()
            others = [each for each in occupied_runners.get() if each is not self.caller.runner]
            context.run(occupied_runners.set, (*others,))
        self._is_paused = not self.call.take_result(result, context)
        self.has_ended = not self._is_paused
        if self.caller.threaded:
            self.caller.completions.put(self)
        return self.has_ended

    # --------------------------------------------------------- the client, in any thread

    def reply(self, content: Content) -> None:
        """Take a reply (see `HttpOutbox.reply`)."""
        with self._lock:
            outbox = self._outbox
            if outbox is None:
                if self._reply is None:
                    first = first_reply(content, self.layer.max_message_size)
                    if first[2]:
                        self._open_outbox().begin(first)
                    else:
                        self._reply = first
                    if self.caller.threaded:
                        self.caller.completions.put(self)
                    return
                outbox = self._open_outbox()
        outbox.reply(content)

    def deliver(self, content: Content) -> None:
        """Take a message from the channel layer; one that comes after the end is dropped."""
        outbox = self._outbox
        if outbox is not None:
            outbox.deliver(content)
        elif self._reply is None:
            self.reply(content)

    async def caught_up(self) -> None:
        """Do nothing: one reply at most was taken, and the outbox takes all that follow."""

    # --------------------------------------------------------- what takes over, with the lock held

    def _open_outbox(self) -> HttpOutbox:
        outbox = self._outbox
        if outbox is None:
            caller = self.caller
            limit = self.layer.max_message_size
            outbox = HttpOutbox(caller.completions, limit, caller.thread)
            if self._reply is not None:
                outbox.begin(self._reply)
            self._outbox = outbox
            if self._channel is not None:
                self._channel.lead_to(outbox)
        return outbox

    def _open_call(self) -> ConsumerCall:
        call = self._call
        if call is None:
            assert self._message is not None
            call = self._call = ConsumerCall(self.caller, self._message, self, job=self)
        return call
