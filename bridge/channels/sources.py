"""Channels of one process, which nothing outside it reads or needs to know (rules L4-L6).

Two kinds: the reply channels of clients, and *sources*: channels whose messages are made only when
somebody reads them, such as the body of a request. So nothing is taken from a socket that is not
wanted yet, and a body is never copied into a queue or a broker.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import secrets
from asyncio.events import _get_running_loop
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, NamedTuple, TypeAlias
from weakref import WeakValueDictionary

from bridge.caches import BoundedDict
from bridge.channels.messages import copy_again
from bridge.channels.names import check_body_channel
from bridge.channels.waiting import Line, Reader, wait_in_thread, wait_on_loop
from bridge.errors import ClientDisconnected, ConfigError, WaitNotPossible
from bridge.loops.waiters import unpatched, waits_in_gevent
from bridge.types import Message

#: Returns the next message of a source, which is the reader's own; runs on the source's loop.
Take: TypeAlias = Callable[[], Coroutine[Any, Any, Message]]

#: The most sources that are remembered after their end.
_MOST_CLOSED: Final = 1024


class _Outcome(NamedTuple):
    """What a reader gets: a message, an error that is raised, or nothing any more."""

    message: Message | None
    error: BaseException | None = None

    def result(self) -> Message | None:
        if self.error is not None:
            raise self.error
        return self.message


class Source:
    """A channel whose next message is taken when a reader wants one. Made by `attach_source`.

    `take` is called on the loop that attached the source, once at a time, and never before a reader
    asks. If that reader gives up, the message waits for the next one. What `take` raises is raised
    in the reader.
    """

    def __init__(self, channel: str, take: Take, on_close: Callable[[Source], None]) -> None:
        self.channel = channel
        self._take: Take | None = take
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._thread = unpatched("get_ident")()
        self._lock = unpatched("allocate_lock")()
        self._line = Line()
        self._outcome: _Outcome | None = None
        self._taking = False
        self._task: asyncio.Task[Message] | None = None
        self._last: Message | None = None

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._take is None

    @property
    def last(self) -> Message | None:
        """Return what a read after the end gets; None: nothing."""
        return self._last

    def close(self, last: Message | None = None) -> None:
        """End the source; to be called on its loop.

        `last` is what all reads get that wait now, or come later: that the client has gone, say.
        Without it, what waits gets nothing, and later nothing ever comes. A call of `take` that is
        under way is cancelled. What it has taken, and nobody has read, is dropped.
        """
        with self._lock:
            if self._take is None:
                return
            self._take = None
            self._last = last
            self._outcome = None
            readers = self._line.all()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        self._on_close(self)
        for reader in readers:
            reader.wake()

    # --------------------------------------------------------- the readers' side

    def receive(self, timeout: float) -> Message | None:
        """Return the next message, in any thread but the loop's; None after `timeout` seconds.

        With 0 it returns what is there already, and has the next one taken.
        """
        outcome = self._look(None)
        if outcome is None and timeout > 0:
            self._check_can_block()
            outcome = wait_in_thread(self._look, self._leave, timeout)
        return None if outcome is None else outcome.result()

    async def receive_async(self, timeout: float) -> Message | None:
        """Return the next message, in a task on any loop; None after `timeout` seconds."""
        outcome = self._look(None) or await wait_on_loop(self._look, self._leave, timeout)
        return None if outcome is None else outcome.result()

    def _check_can_block(self) -> None:
        """Raise `WaitNotPossible` if the loop that must take the message would stand still."""
        if unpatched("get_ident")() == self._thread and not waits_in_gevent(self._loop):
            raise WaitNotPossible(
                f"receive([{self.channel!r}], block=True) was called on the event loop that reads "
                "the request, and would stop it: await receive_async in a coroutine, or run the "
                "consumer in a thread (runner='thread')"
            )

    def _look(self, reader: Reader | None) -> _Outcome | None:
        """Take the message that is there; if none is, have it taken, and `reader` wait for it.

        One more is taken if others wait.
        """
        with self._lock:
            outcome, self._outcome = self._outcome, None
            if self._take is None:
                return _Outcome(None if self._last is None else copy_again(self._last))
            if outcome is None and reader is not None:
                self._line.stand(reader)
            begin = not self._taking and (outcome is None or bool(self._line))
            self._taking |= begin
        if begin:
            self._begin_on_loop()
        return outcome

    def _leave(self, reader: Reader) -> None:
        with self._lock:
            self._line.leave(reader)
            following = None if self._outcome is None else self._line.first()
        self._wake(following)

    # --------------------------------------------------------- taking

    def _begin_on_loop(self) -> None:
        if _get_running_loop() is self._loop:
            self._begin()
            return
        try:
            self._loop.call_soon_threadsafe(self._begin)
        except RuntimeError:
            gone = ClientDisconnected("the event loop that reads the request has ended")
            self._deliver(_Outcome(None, gone))

    def _begin(self) -> None:
        if self._take is not None:
            self._task = self._loop.create_task(self._take(), context=self._context)
            self._task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[Message]) -> None:
        self._task = None
        if task.cancelled():
            self._deliver(_Outcome(None, ClientDisconnected("the request was cancelled")))
        elif (error := task.exception()) is not None:
            self._deliver(_Outcome(None, error))
        else:
            self._deliver(_Outcome(task.result()))

    def _deliver(self, outcome: _Outcome) -> None:
        """Have the first that waits take `outcome`."""
        with self._lock:
            self._taking = False
            if self._take is not None:
                self._outcome = outcome
            reader = self._line.first()
        self._wake(reader)

    def _wake(self, reader: Reader | None) -> None:
        while reader is not None and not reader.wake():
            with self._lock:
                reader = self._line.first()


class LocalChannels:
    """The channels of one process: the names of its clients' reply channels, and its sources."""

    def __init__(self) -> None:
        #: Is in the names of its queues, ``NAME.<id>!``.
        self.id = secrets.token_hex(8)
        #: The queue of all its reply channels.
        self.reply_queue = f"bridge.{self.id}!"
        self._reply_numbers = itertools.count()
        #: Gone with whoever holds them, if they are not closed: a request leaves nothing behind.
        self._sources: WeakValueDictionary[str, Source] = WeakValueDictionary()
        self._closed: BoundedDict[str, Source] = BoundedDict(_MOST_CLOSED)

    def new_reply_channel(self) -> str:
        """Return a name that was never used before."""
        return f"{self.reply_queue}{next(self._reply_numbers)}"

    def attach(self, channel: str, take: Take) -> Source:
        """Make a source; see `ChannelLayer.attach_source`."""
        if check_body_channel(channel) in self._sources:
            raise ConfigError(f"the channel {channel!r} has a source already")
        source = self._sources[channel] = Source(channel, take, self._forget)
        return source

    def find(self, names: Sequence[str]) -> Source | None:
        """Return the source of the channel in `names`, if it has one.

        Raises TypeError if there are other channels in `names`.
        """
        sources, closed = self._sources, self._closed
        if not sources and not closed:
            return None
        for name in names:
            found = sources.get(name) or closed.get(name)
            if found is not None:
                if len(names) > 1:
                    raise TypeError(
                        f"the channel {name!r} is the body of a request, and must be read alone"
                    )
                return found
        return None

    def _forget(self, source: Source) -> None:
        del self._sources[source.channel]
        if source.last is not None:
            self._closed.store(source.channel, source)
