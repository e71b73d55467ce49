"""What waits to be sent to the client of a WebSocket (rule L4).

Replies become ASGI messages when they are given, in the thread that gives them, so that the sender
gets the error of a wrong one. A task sends the messages; no sender waits for it. If too much waits,
because the client is slow, the sender gets `ChannelFull`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from bridge.asgi1.socket_replies import CLOSED, Reply, SocketReplies, check_reply
from bridge.errors import ChannelFull, MessageTooLarge
from bridge.limits import HIGH_WATER, LOW_WATER
from bridge.loops.wait_queue import WaitQueue
from bridge.loops.waiters import unpatched
from bridge.types import Message, Send

#: The most bytes that wait for a client; a reply beyond them is refused with `ChannelFull`.
MAX_WAITING: Final = 1024 * 1024
#: What a reply counts for beside its data.
_OVERHEAD: Final = 64
#: The most messages that are sent before others have their turn.
_BURST: Final = 64


class SocketOutbox:
    """What waits to be sent to the client of one WebSocket.

    It is the `message.Client` of a reply channel. `limit`: the most bytes of one reply. `on_full`
    is called in the loop when a reply finds it full.
    """

    def __init__(
        self, send: Send, subprotocol: str | None, limit: int, on_full: Callable[[], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._get_ident: Callable[[], int] = unpatched("get_ident")
        self._thread = self._get_ident()
        self._send = send
        self._limit = limit
        self._on_full = on_full
        self._lock = unpatched("allocate_lock")()
        self._replies = SocketReplies(subprotocol)
        #: Messages, and what each counts for.
        self._messages: deque[tuple[Message, int]] = deque()
        #: The sum of that, with the message that is being sent.
        self._waiting = 0
        #: The host has our close, or has begun to take it.
        self.closing = False
        #: How many messages were sent.
        self.sent = 0
        self._news = WaitQueue()
        self._room = WaitQueue()

    @property
    def phase(self) -> int:
        """Return the phase that the replies have led to; see `socket_replies`."""
        return self._replies.phase

    @property
    def code(self) -> int | None:
        """Return the code with which we have closed; None: the client has gone, or is here."""
        return self._replies.code

    # --------------------------------------------------------- in any thread

    def reply(self, content: Message) -> None:
        """Take a reply. Raises `IllegalMessage`, `ChannelFull` and `MessageTooLarge`."""
        reply = check_reply(content)
        if reply.size > self._limit:
            raise MessageTooLarge(
                f"the reply has {reply.size} bytes, and the channel layer takes {self._limit}; "
                "send large data in pieces"
            )
        with self._lock:
            waiting = self._waiting
            full = self._is_full_for(reply)
            if not full:
                self._add(self._replies.take(reply), reply.size + _OVERHEAD)
        if full:
            self._in_loop(self._on_full)
            raise ChannelFull(
                f"the client is slow: {waiting} bytes wait for it, and at most {MAX_WAITING} may; "
                "send less, or await what send() returns"
            )

    def _is_full_for(self, reply: Reply) -> bool:
        """Whether `reply` is too much; one alone may have any size, and a close always has room."""
        return (
            reply.data is not None
            and self._waiting > 0
            and self._waiting + reply.size + _OVERHEAD > MAX_WAITING
            and self.phase != CLOSED
        )

    def close(self, code: int) -> None:
        """Close with `code` after what waits, or refuse; does nothing if it is closed."""
        with self._lock:
            self._add(self._replies.close(code), _OVERHEAD)

    def _add(self, messages: Iterable[Message], size: int) -> None:
        """Add messages; with the lock held."""
        idle = not self._messages
        for message in messages:
            counts = size if message["type"] == "websocket.send" else 0
            self._messages.append((message, counts))
            self._waiting += counts
        if idle and self._messages:
            self._in_loop(self._news.wake)

    def _in_loop(self, function: Callable[[], object]) -> None:
        """Call `function` in the loop's thread: now, if the caller is there."""
        if self._get_ident() == self._thread:
            function()
        else:
            try:
                self._loop.call_soon_threadsafe(function)
            except RuntimeError:
                pass  # the loop has ended, and with it the socket

    @property
    def is_slow(self) -> bool:
        """Whether so much waits for the client that a sender had better pause."""
        return self._waiting > HIGH_WATER

    @property
    def is_gone(self) -> bool:
        """Whether the socket is closed, so that replies are dropped."""
        return self.phase == CLOSED

    # --------------------------------------------------------- in the loop

    def __bool__(self) -> bool:
        """Whether a message waits to be sent."""
        return bool(self._messages)

    async def caught_up(self) -> None:
        """Wait until the client has taken most of what waits, or has gone."""
        while self._waiting > LOW_WATER and not self.is_gone:
            await self._room.wait()

    async def send_all(self) -> None:
        """Send what is added, until the close is sent. Raises what the host raises."""
        while not self.closing:
            if not self._messages:
                await self._news.wait()
                continue
            message, size = self._messages.popleft()
            self.closing = message["type"] == "websocket.close"
            await self._send(message)
            with self._lock:
                self._waiting -= size
            self.sent += 1
            if self._waiting <= LOW_WATER:
                self._room.wake()
            if self.sent % _BURST == 0:
                await asyncio.sleep(0)

    def end(self) -> None:
        """Drop what waits and what comes: the client has gone."""
        with self._lock:
            self._replies.end()
            self._messages.clear()
            self._waiting = 0
        self._room.wake()
