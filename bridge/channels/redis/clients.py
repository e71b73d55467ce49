"""The channels of this process that somebody reads here, and the order of what they get (rule L8).

What this process sends to its own channels need not go through Redis. But what it has sent to a
group before, and of which Redis has not said yet which of them are in it, must come first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeAlias

from bridge.channels.base import Deliver
from bridge.channels.messages import check_message, copy_message
from bridge.channels.names import queue_of
from bridge.channels.statistics import DropLog, LayerCounters
from bridge.errors import ChannelFull
from bridge.log import logger
from bridge.loops.waiters import unpatched
from bridge.types import Message

#: Takes a message for any channel of a queue: the channel, and the message.
DeliverAny: TypeAlias = Callable[[str, Message], None]


class Turn:
    """A place in the order: what is delivered in it, once that is known."""

    __slots__ = ("channels", "future", "message", "ready")

    def __init__(self) -> None:
        self.ready = False
        self.channels: Iterable[str] = ()
        self.message: Message = {}
        #: Of the call that waits for it, and gets the error if there is one.
        self.future: asyncio.Future[None] | None = None


class Clients:
    """Who reads which channels of this process. `id` ends the names of its queues: ``a.<id>!``."""

    def __init__(self, id: str) -> None:
        #: What the names of this process's queues end with.
        self.own_end = f".{id}!"
        self.counters = LayerCounters()
        #: Held to count: what sends to a client is not on one thread.
        self.counting = unpatched("allocate_lock")()
        self._attached: dict[str, Deliver] = {}
        self._queues: dict[str, DeliverAny] = {}
        self._turns: deque[Turn] = deque()
        self._drops = DropLog()

    def owns(self, queue: str) -> bool:
        """Whether `queue` is one of this process."""
        return queue.endswith(self.own_end)

    def is_gone(self, channel: str) -> bool:
        """Whether `channel` is one of this process, and nobody reads it."""
        return self.owns(queue_of(channel)) and self._reader(channel) is None

    def attach(self, channel: str, deliver: Deliver) -> None:
        """Have each message to `channel` passed to `deliver`. TypeError if it is not of here."""
        if not self.owns(queue_of(channel)):
            raise TypeError(
                f"the channel {channel!r} is not of this process; the names of its channels begin "
                f"with NAME{self.own_end}, and new_reply_channel makes one"
            )
        self._attached[channel] = deliver

    def attach_queue(self, queue: str, deliver: DeliverAny) -> None:
        """Have each message to a channel of `queue`, if it is not attached, passed to `deliver`."""
        if not self.owns(queue):
            raise TypeError(
                f"the queue {queue!r} is not of this process; those are NAME{self.own_end}"
            )
        self._queues[queue] = deliver

    def detach(self, channel: str) -> None:
        """Drop the messages to `channel` from now on."""
        self._attached.pop(channel, None)

    def _reader(self, channel: str) -> Deliver | None:
        deliver = self._attached.get(channel)
        if deliver is None and self._queues:
            whole = self._queues.get(queue_of(channel))
            return None if whole is None else partial(whole, channel)
        return deliver

    # --------------------------------------------------------- sent by this process

    def send_now(self, channel: str, message: Message) -> bool:
        """Deliver a message if that is possible at once; from any thread. Raises `ChannelFull`."""
        deliver = self._reader(channel)
        if deliver is None or self._turns:
            return False
        self._deliver(deliver, channel, check_message(message))
        return True

    async def send_in_turn(self, channel: str, message: Message, limit: int) -> None:
        """Deliver a message after what was sent before it. Raises `ChannelFull`."""
        turn = self.take_turn()
        turn.future = asyncio.get_running_loop().create_future()
        self.end_turn(turn, [channel], copy_message(message, limit))
        await turn.future

    def take_turn(self) -> Turn:
        """Take the next place in the order; `end_turn` has to follow."""
        turn = Turn()
        self._turns.append(turn)
        return turn

    def end_turn(self, turn: Turn, channels: Iterable[str], message: Message) -> None:
        """Deliver `message` to `channels`, when all is delivered that comes before."""
        turn.channels, turn.message, turn.ready = channels, message, True
        while self._turns and self._turns[0].ready:
            self._end(self._turns.popleft())

    def _end(self, turn: Turn) -> None:
        error = None
        for channel in turn.channels:
            error = self.deliver(channel, turn.message, tell=turn.future is None)
        if turn.future is not None and not turn.future.done():
            if error is None:
                turn.future.set_result(None)
            else:
                turn.future.set_exception(error)

    # --------------------------------------------------------- delivering

    def deliver(self, channel: str, message: Message, *, tell: bool = True) -> Exception | None:
        """Deliver a message if somebody reads `channel` here; return the error, else log it."""
        deliver = self._reader(channel)
        if deliver is None:
            return None  # its client has gone
        try:
            self._deliver(deliver, channel, message)
        except ChannelFull as error:
            if not tell:
                return error
            self._drops.refused(channel, error)
        except Exception as error:
            if not tell:
                return error
            logger.exception("a message to %s failed", channel)
        return None

    def _deliver(self, deliver: Deliver, channel: str, message: Message) -> None:
        queue = queue_of(channel)
        try:
            deliver(message)
        except ChannelFull:
            self.count_full(queue)
            raise
        self.count_message(queue)

    # --------------------------------------------------------- counting

    def count_message(self, queue: str, number: int = 1) -> None:
        """Count messages that were sent to `queue`; from any thread."""
        with self.counting:
            for _ in range(number):
                self.counters.count_message(queue)

    def count_full(self, queue: str, number: int = 1) -> None:
        """Count messages that `queue` was too full for; from any thread."""
        with self.counting:
            for _ in range(number):
                self.counters.count_full(queue)
