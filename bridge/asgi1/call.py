"""How a consumer is called, whatever its shape (L2).

Its signature tells once how many arguments it takes, a message, or a message and channels:

- ``f(message)`` gets a `Message`;
- ``f(message, channels)`` gets the content as a plain dict, whose ``channel`` says what it is, and
  ``channels["reply"]``; also ``channels["body"]``, if more of the request's body is to come.

Coroutine functions and async generator functions run on the loop, each call in a task of its own,
which on most calls ends at once. All else is a job of the runner, as a WSGI app is. What it returns
decides the rest: an awaitable is awaited on the loop, and each value of a generator is a reply.

A generator is paused while its client is slow, and closed when its client has gone.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import Context, copy_context
from types import CoroutineType
from typing import Any, Protocol

from bridge.asgi1.message import Message, ReplyChannel
from bridge.asgi1.signature import Consumer, runs_on_loop, takes_channels
from bridge.errors import BridgeError, ChannelFull, IllegalMessage, RequestCancelled
from bridge.loops.tasks import task_starter
from bridge.loops.waiters import unpatched
from bridge.runners.base import Job, Runner, occupied_runners
from bridge.runners.completions import CompletionQueue
from bridge.types import Address

#: Seconds before a reply that found its channel full is sent again, if nobody tells when it is not.
_RETRY_AFTER = 0.05
#: No value of a generator waits to be sent.
_NOTHING: Any = object()


class CallOwner(Protocol):
    """Whoever had a consumer called."""

    def call_ended(self, call: ConsumerCall) -> None:
        """Go on: the call is over; ``call.error`` is what the consumer raised, or None.

        Called on the loop.
        """


class Caller:
    """Calls one consumer under one runner.

    `open` comes first, on the loop that is served; then a `ConsumerCall` for each message.
    """

    def __init__(self, consumer: Consumer, runner: Runner) -> None:
        self.consumer = consumer
        self.runner = runner
        #: Whether it takes ``(message, channels)``.
        self.takes_channels = takes_channels(consumer)
        #: Whether a call only makes a coroutine or an async generator, which runs on the loop.
        self.on_loop = runs_on_loop(consumer)
        #: Whether it may answer when its call ends, or before; then a `FirstCall` is enough.
        self.may_be_quick = not self.on_loop and (runner.threaded or not runner.can_wait)
        self.threaded = runner.threaded
        self.completions: CompletionQueue
        #: The loop's.
        self.thread: int
        self.new_task: Callable[..., asyncio.Task[Any]]

    def open(self, completions: CompletionQueue) -> None:
        """Call the consumer for the loop of `completions` from now on, in whose thread this is.

        The runner is started.
        """
        self.completions = completions
        self.thread = unpatched("get_ident")()
        self.new_task = task_starter(completions.loop)


class ConsumerCall:
    """One call of a consumer, with one message; also the `Job` of a runner.

    Its owner is told of the end once, on the loop; that may be within `start`. `job` is what the
    runner has been given already, if that is not this object (`FirstCall`): it calls the consumer,
    then `take_result`, and on the loop `job_ended`.
    """

    # No class attribute has the name of one of these: instances read and write them fast so.
    __slots__ = (
        *("_awaitable", "_context", "_job", "_owner", "_task", "_unsent", "_values", "caller"),
        *("channels", "error", "message", "queued_at", "refused", "streams"),
    )

    queued_at: float

    def __init__(
        self,
        caller: Caller,
        message: Message,
        owner: CallOwner,
        body: Any = None,
        job: Job | None = None,
    ) -> None:
        self.caller = caller
        self.message = message
        self._job = job
        #: ``channels["body"]``.
        self.channels: dict[str, Any] | None = None
        if caller.takes_channels:
            self.channels = {"reply": message.reply_channel}
            if body is not None:
                self.channels["body"] = body
        #: None when it was told of the end.
        self._owner: CallOwner | None = owner
        #: What the consumer raised, or why it could not be called; None if neither.
        self.error: BaseException | None = None
        #: Whether it is a generator, of which a reply has left.
        self.streams = False
        #: Whether it was not called, since the runner has no place for it.
        self.refused = False
        #: What is left to be done on the loop when the job has ended.
        self._awaitable: Any = None
        #: The replies of a generator.
        self._values: Iterator[Any] | None = None
        #: The one of them that found its channel full.
        self._unsent: Any = _NOTHING
        #: The request's, in which a job runs that can wait; the inline runner has its own.
        self._context: Context | None = None
        self._task: asyncio.Task[Any] | None = None

    # --------------------------------------------------------- on the loop

    def start(self) -> None:
        """Call the consumer, now or as soon as there is a place for it."""
        caller = self.caller
        if caller.on_loop:
            self._start_task(None)
            return
        runner = caller.runner
        if runner.can_wait:
            self._context = copy_context()
        try:
            runner.submit(self)
        except BridgeError as error:
            self.refuse(error)
            return
        if not runner.can_wait:  # it was called within `submit`
            self._after_inline()

    def job_ended(self, error: BaseException | None) -> None:
        """Go on after a job that is another object, which has ended or paused."""
        if error is not None:
            self.error = error
        if self.caller.runner.can_wait:
            self.on_completed()
        else:
            self._after_inline()

    def _after_inline(self) -> None:
        if self._values is None:
            self.on_completed()
        else:
            task = self._task = self.caller.new_task(self._resume_inline())
            task.add_done_callback(self._inline_ended)

    async def _resume_inline(self) -> None:
        """Let a generator that has paused go on whenever its client has caught up."""
        while self._values is not None:
            await _room(self.message.reply_channel)
            await asyncio.sleep(0)  # a client that is never slow must not hold the loop
            self.caller.runner.submit(self._job or self)

    def _inline_ended(self, task: asyncio.Task[Any]) -> None:
        if self._values is not None:
            self.caller.runner.cancel(self._job or self)
            self.error = asyncio.CancelledError("the call was given up")
        self._task = None
        self.on_completed()

    def _start_task(self, result: Any) -> None:
        task = self.caller.new_task(self._run(result))
        if not task.done():
            self._task = task
            task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        """See that the end is told: a task that is cancelled may never have begun."""
        self._end(asyncio.CancelledError("the call was given up"))

    async def _run(self, result: Any) -> None:
        """Run what a call returned, on the loop; None: make the call first."""
        error: BaseException | None = None
        try:
            if result is None:
                result = self.caller.consumer(*self._arguments())
            if type(result) is not CoroutineType and isinstance(result, AsyncIterator):
                await self._send_all(result)
            else:
                if inspect.isawaitable(result):
                    result = await result
                _check_result(result, self.caller.consumer)
        except BaseException as raised:
            error = raised
        self._end(error)

    async def _send_all(self, values: AsyncIterator[Any]) -> None:
        """Send each value of an async generator as a reply."""
        reply: ReplyChannel = self.message.reply_channel
        try:
            async for value in values:
                while not _send(reply, value):
                    await _room(reply)
                client = reply.client
                if client is not None:
                    if client.is_slow:
                        await client.caught_up()
                    if client.is_gone:
                        return
        finally:
            close = getattr(values, "aclose", None)
            if close is not None:
                await close()

    def withdraw(self) -> bool:
        """End without a call if it still waits for a thread: its client has left. Whether so."""
        runner = self.caller.runner
        if not runner.queue or not runner.withdraw(self._job or self):
            return False
        self._end(None)
        return True

    def give_up(self) -> None:
        """Cancel it if it runs on the loop; what runs in a thread goes on alone."""
        if self._task is not None:
            self._task.cancel()
        elif not self.withdraw():
            self.caller.runner.interrupt(self, RequestCancelled("the request was cancelled"))

    def on_completed(self) -> None:
        """Go on after the job: run what is left on the loop, or tell the owner of the end."""
        left, self._awaitable = self._awaitable, None
        if left is None:
            self._end(self.error)
        elif self._context is None:
            self._start_task(left)
        else:
            self._context.run(self._start_task, left)

    def _end(self, error: BaseException | None) -> None:
        owner = self._owner
        if owner is not None:
            self._owner = self._job = None  # both hold this call: a circle
            self.error = error
            owner.call_ended(self)

    # --------------------------------------------------------- the job

    @property
    def peer(self) -> Address | None:
        """The client's address and port."""
        client = self.message.content.get("client")
        return None if client is None else tuple(client)

    def on_long_wait(self) -> None:
        """Do nothing: the owner listens for the client anyway."""

    def refuse(self, error: BridgeError) -> None:
        """End without a call: the runner has no place for it. On the loop."""
        self.refused = True
        self._end(error)

    def __call__(self) -> bool:
        """Call the consumer, and send the replies of a generator; False when that pauses."""
        context = self._context
        if context is None:
            return self._call()
        context.run(self._call_in_thread if self.caller.runner.threaded else self._call)
        self.caller.completions.put(self)
        return True

    def _call_in_thread(self) -> None:
        runner = self.caller.runner
        before = occupied_runners.set((*occupied_runners.get(), runner))
        self._call()
        occupied_runners.reset(before)

    def _call(self) -> bool:
        result = None
        try:
            if self._values is None:
                result = self.caller.consumer(*self._arguments())
        except BaseException as error:
            self.error = error
            return True
        return self.take_result(result)

    def take_result(self, result: Any, context: Context | None = None) -> bool:
        """Keep what the call has returned, or send the replies of a generator; False: it pauses.

        None: nothing was returned, or a generator that has paused goes on. In `context` runs what
        is left for the loop, if the job was another object.
        """
        self._context = self._context or context
        try:
            if result is not None:
                self._keep(result)
            if self._values is not None and not self._send_values(self._values):
                return False
        except BaseException as error:
            self.error = error
        self._values = None
        return True

    def _arguments(self) -> tuple[Any, ...]:
        message = self.message
        if self.channels is None:
            return (message,)
        return {**message.content, "channel": message.channel_name}, self.channels

    def _keep(self, result: Any) -> None:
        """Keep what a call returned if it is to be run."""
        if isinstance(result, Iterator):
            self._values = result
        elif isinstance(result, AsyncIterator) or inspect.isawaitable(result):
            self._awaitable = result
        else:
            _check_result(result, self.caller.consumer)

    def _send_values(self, values: Iterator[Any]) -> bool:
        """Send each value of a generator as a reply; False when it has to pause (inline runner)."""
        reply: ReplyChannel = self.message.reply_channel
        paused = False
        try:
            while True:
                value, self._unsent = self._unsent, _NOTHING
                if value is _NOTHING:
                    value = next(values, _NOTHING)
                if value is _NOTHING or (reply.client is not None and reply.client.is_gone):
                    return True
                if not _send(reply, value):
                    self._unsent = value
                else:
                    self.streams = True
                    if reply.client is None or not reply.client.is_slow:
                        continue
                if self._context is None:
                    paused = True
                    return False
                self.caller.runner.wait(_room(reply))
        finally:
            if not paused:
                _close(values)

    def cancel(self) -> None:
        """Give up a generator that has paused (inline runner)."""
        values, self._values = self._values, None
        if values is not None:
            _close(values)


# ------------------------------------------------------------- replies of generators


def _send(reply: ReplyChannel, value: Any) -> bool:
    """Send a reply; False if its channel is full."""
    try:
        reply.send(value)
    except ChannelFull:
        return False
    return True


async def _room(reply: ReplyChannel) -> None:
    """Wait until the channel may have room again."""
    if reply.client is None:
        await asyncio.sleep(_RETRY_AFTER)
    else:
        await reply.client.caught_up()


def _close(values: Iterator[Any]) -> None:
    close = getattr(values, "close", None)
    if close is not None:
        close()


def _check_result(result: object, consumer: Consumer) -> None:
    """Raise `IllegalMessage` if a consumer seems to have returned its reply."""
    if isinstance(result, dict | list | tuple):
        raise IllegalMessage(
            f"{consumer!r} returned {result!r:.120}; a consumer sends its replies to the reply "
            "channel, or is a generator and yields them"
        )
