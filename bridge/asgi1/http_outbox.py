"""What waits to be sent to the client of an HTTP request (L3, L4).

Replies come from threads, tasks and callbacks, and become ASGI 3 messages in `HttpOutbox.reply`,
where the sender gets the errors. The request's own task sends them, and sleeps when there are none:

    sender: leave the messages; asleep? asleep = False, and have the loop set the future
    task:   asleep = True; no news? await the future

Of the two sides that change `_asleep` the later one sees the other's news: no wake-up is lost. Of
two senders at once both may set the future, which does no harm.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from bridge.asgi1.http_replies import FirstReply, HttpReplies
from bridge.errors import ChannelFull
from bridge.http.response_head import ResponseHead
from bridge.limits import HIGH_WATER, LOW_WATER
from bridge.loops.wait_queue import WaitQueue
from bridge.loops.waiters import unpatched
from bridge.runners.completions import CompletionQueue
from bridge.types import Message, Send

_new_lock: Final = unpatched("allocate_lock")
_get_ident: Final = unpatched("get_ident")

#: If more bytes than this wait for a client, a reply is refused with `ChannelFull`.
MAX_WAITING: Final = 1024 * 1024


class HttpOutbox:
    """The replies to one request that wait; the `message.Client` of its reply channel.

    `limit`: the most bytes of content in one reply. Made on the loop's thread, or `thread` is that.
    """

    __slots__ = (
        *("_asleep", "_completions", "_future", "_lock", "_messages", "_replies"),
        *("_room", "_size", "_sent", "_thread", "complete", "is_gone"),
    )

    def __init__(self, completions: CompletionQueue, limit: int, thread: int | None = None) -> None:
        self._completions = completions
        self._thread = _get_ident() if thread is None else thread
        self._future: asyncio.Future[None] | None = None
        #: The task sleeps.
        self._asleep = False
        #: Held while a reply is taken: their order decides.
        self._lock = _new_lock()
        self._replies = HttpReplies(limit)
        self._messages: deque[Message] = deque()
        #: Bytes of body that were put here, and that the host has taken.
        self._size = self._sent = 0
        #: What senders sleep on while the client is slow; made for the first.
        self._room: WaitQueue | None = None
        #: No message comes any more.
        self.complete = False
        #: Nobody takes replies any more: what comes is dropped.
        self.is_gone = False

    # --------------------------------------------------------- in any thread

    def reply(self, content: Message) -> None:
        """Take a reply. Raises `IllegalMessage`, `ChannelFull` and `MessageTooLarge`."""
        if self.is_gone:
            return
        with self._lock:
            if self._size - self._sent > MAX_WAITING:
                raise ChannelFull(
                    f"{self._size - self._sent} bytes wait for the client, which is slow; send "
                    "less at a time, or await what send() returns"
                )
            self._put(self._replies.take(content))
        self.wake()

    def begin(self, first: FirstReply) -> None:
        """Put the first reply here, which has come before there was this outbox."""
        self._put(self._replies.begin(first))

    def _put(self, messages: Sequence[Message]) -> None:
        self._messages.extend(messages)
        last = messages[-1]
        self._size += len(last["body"])
        if not last["more_body"]:
            self.complete = True

    def deliver(self, content: Message) -> None:
        """Take a message from the channel layer; one that comes after the end is dropped."""
        if not self.complete:
            self.reply(content)

    @property
    def has_begun(self) -> bool:
        """Whether a reply has come."""
        return self._replies.has_begun

    @property
    def streams(self) -> bool:
        """Whether a reply has come, and more are to come."""
        return self._replies.has_begun and not self.complete

    @property
    def is_slow(self) -> bool:
        """Whether so much waits for the client that a sender had better pause."""
        return self._size - self._sent > HIGH_WATER and not self.is_gone

    def wake(self) -> None:
        """Have the task look again, if it sleeps."""
        if self._asleep:
            self._asleep = False
            if _get_ident() == self._thread:
                self.on_completed()
            else:
                self._completions.put(self)

    # --------------------------------------------------------- on the loop

    def __bool__(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._messages)

    def take_whole(self) -> tuple[ResponseHead, bytes] | None:
        """Take a response that came in one reply, for a host that needs no messages; else None."""
        head, messages = self._replies.head, self._messages
        if not self.complete or head is None or len(messages) != 2:
            return None
        body: bytes = messages[1]["body"]
        messages.clear()
        self._sent = self._size
        return head, body

    async def send_all(self, send: Send) -> None:
        """Send what waits. Raises what the host's `send` raises."""
        messages = self._messages
        while messages:
            message = messages.popleft()
            await send(message)
            self._sent += len(message.get("body", b""))
            if self._room is not None and self._size - self._sent <= LOW_WATER:
                self._room.wake()

    async def caught_up(self) -> None:
        """Wait until the client is not slow any more, or gone."""
        if self._room is None:
            self._room = WaitQueue()
        while self._size - self._sent > LOW_WATER and not self.is_gone:
            await self._room.wait()

    def answer(self, messages: Iterable[Message]) -> bool:
        """Answer with messages of the host's own; False if a reply has come before."""
        with self._lock:
            if self._replies.has_begun:
                return False
            self.is_gone = True
            self._messages.extend(messages)
            self.complete = True
        self.wake()
        return True

    def close(self) -> None:
        """Drop what waits and what comes: the client has gone, or its request has failed."""
        self.is_gone = True
        self._messages.clear()
        if self._room is not None:
            self._room.wake()
        self.wake()

    async def sleep_unless(self, news: Callable[[], object]) -> None:
        """Sleep until the next `wake`; return at once if there is news already."""
        future = self._future = self._completions.loop.create_future()
        self._asleep = True
        if news():
            self._asleep = False
        else:
            await future

    def on_completed(self) -> None:
        """Wake the task."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)
