"""How consumers of every shape are called."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

import bridge
from bridge.asgi1.call import ConsumerCall
from bridge.asgi1.message import Message, ReplyChannel
from bridge.errors import (
    BridgeError,
    ChannelFull,
    IllegalMessage,
    Overloaded,
    RequestCancelled,
    SelfRequest,
)
from bridge.runners.base import occupied_runners
from tests.asgi1.calling import RUNNERS, Calling, Owner, called, run

OK = {"status": 200, "content": b"hello"}


def plain(message: Any) -> None:
    message.reply_channel.send(OK)


async def coroutine(message: Any) -> None:
    await asyncio.sleep(0)
    message["reply_channel"].send(OK)


def generator(message: Any) -> Iterator[Any]:
    yield OK


async def async_generator(message: Any) -> AsyncIterator[Any]:
    await asyncio.sleep(0)
    yield OK


async def with_channels(message: Any, channels: Any) -> None:
    assert message["channel"] == "http.request"
    assert type(message) is dict
    assert message["path"] == "/x"
    assert list(channels) == ["reply"]
    await channels["reply"].send(OK)


class Object:
    def __init__(self, call: Callable[[Any], Any]) -> None:
        self.call = call

    def __call__(self, message: Any) -> Any:
        return self.call(message)


CONSUMERS = {
    "plain": plain,
    "coroutine": coroutine,
    "generator": generator,
    "async generator": async_generator,
    "with channels": with_channels,
    "object": Object(plain),
    "object that returns a coroutine": Object(coroutine),
    "object that returns a generator": Object(generator),
    "object that returns an async generator": Object(async_generator),
    "partial": functools.partial(coroutine),
}


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("shape", CONSUMERS)
def test_every_shape_and_kind_of_callable(shape: str, runner: str) -> None:
    """L2: whatever a consumer is, its reply comes, and its call ends."""
    assert called(CONSUMERS[shape], runner, path="/x") == [OK]


@pytest.mark.parametrize("runner", RUNNERS)
def test_where_a_consumer_runs(runner: str) -> None:
    """L2: a coroutine runs on the loop, all else under the runner; what it returns, on the loop."""
    threads: dict[str, int] = {}
    here = threading.get_ident()

    async def later() -> None:
        threads["awaited"] = threading.get_ident()

    def returns_one(message: Any) -> Any:
        threads["plain"] = threading.get_ident()
        return later()

    called(returns_one, runner)
    assert threads["awaited"] == here
    assert (threads["plain"] != here) == (runner == "thread")


def test_the_body_is_among_the_channels_if_more_is_to_come() -> None:
    """L2: shape (c) finds `channels["body"]` then."""
    seen = []

    async def consumer(message: Any, channels: Any) -> None:
        seen.append(channels.get("body"))

    async def main(calling: Calling) -> None:
        await calling.call()
        await calling.call("the body")

    run(main, consumer)
    assert seen == [None, "the body"]


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("consumer", ["plain", "coroutine", "generator", "async generator"])
def test_what_a_consumer_raises_ends_its_call(consumer: str, runner: str) -> None:
    """L3: the owner of the call has the error."""

    def raises(message: Any) -> Any:
        raise LookupError("broken")

    async def raises_later(message: Any) -> None:
        await asyncio.sleep(0)
        raise LookupError("broken")

    def raises_after(message: Any) -> Iterator[Any]:
        yield OK
        raise LookupError("broken")

    async def raises_after_later(message: Any) -> AsyncIterator[Any]:
        yield OK
        raise LookupError("broken")

    consumers = {
        "plain": raises,
        "coroutine": raises_later,
        "generator": raises_after,
        "async generator": raises_after_later,
    }
    with pytest.raises(LookupError, match="broken"):
        called(consumers[consumer], runner)


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("value", [OK, [OK], (OK,)])
def test_a_reply_that_is_returned_is_an_error(value: Any, runner: str) -> None:
    """L4: a consumer that returns its reply is told how to send it."""

    async def later(message: Any) -> Any:
        return value

    for consumer in (lambda message: value, later):
        with pytest.raises(IllegalMessage, match="is a generator and yields them"):
            called(consumer, runner)


def test_other_values_that_are_returned_mean_nothing() -> None:
    """L2: as ever under ASGI 1."""

    def consumer(message: Any) -> bool:
        plain(message)
        return True

    async def later(message: Any) -> bool:
        plain(message)
        return True

    assert called(consumer) == called(later) == [OK]


def test_a_function_that_is_only_marked_as_a_coroutine_function() -> None:
    """L2: what it returns decides."""

    def marked(message: Any) -> None:
        plain(message)

    mark = getattr(inspect, "markcoroutinefunction", lambda function: function)  # 3.12
    assert called(mark(marked)) == [OK]


def numbers(message: Any) -> Iterator[Any]:
    for number in range(5):
        yield {"number": number}


async def async_numbers(message: Any) -> AsyncIterator[Any]:
    for number in range(5):
        yield {"number": number}


FIVE = [{"number": number} for number in range(5)]


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("consumer", [numbers, async_numbers])
@pytest.mark.parametrize("limit", ["slow_after", "full_after"])
def test_a_generator_pauses_while_its_client_is_slow(
    limit: str, consumer: Any, runner: str
) -> None:
    """L3: it goes on when the client has caught up, and no reply is lost or comes twice."""

    async def main(calling: Calling) -> None:
        setattr(calling.client, limit, 2)
        await calling.call()
        assert calling.client.replies == FIVE
        assert calling.client.waits == 1

    run(main, consumer, runner)


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("is_async", [False, True])
def test_a_generator_is_closed_when_its_client_is_gone(is_async: bool, runner: str) -> None:
    """L3: what it has open is closed, and it makes no more."""
    made, closed = [], []

    def endless(message: Any) -> Iterator[Any]:
        try:
            while True:
                made.append(1)
                yield {}
        finally:
            closed.append(1)

    async def async_endless(message: Any) -> AsyncIterator[Any]:
        try:
            while True:
                made.append(1)
                yield {}
        finally:
            closed.append(1)

    async def main(calling: Calling) -> None:
        calling.client.gone_after = 3
        call = await calling.call()
        assert call.error is None

    run(main, async_endless if is_async else endless, runner)
    assert (3 <= len(made) <= 4, closed) == (True, [1])


@pytest.mark.parametrize("is_async", [False, True])
def test_iterators_that_cannot_be_closed(is_async: bool) -> None:
    """L2: any iterator of replies will do."""

    class Iterating:
        def __init__(self) -> None:
            self.left = [OK]

        def __iter__(self) -> Iterating:
            return self

        def __next__(self) -> Any:
            if not self.left:
                raise StopIteration
            return self.left.pop()

    class AsyncIterating:
        def __init__(self) -> None:
            self.left = [OK]

        def __aiter__(self) -> AsyncIterating:
            return self

        async def __anext__(self) -> Any:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    assert called(lambda message: AsyncIterating() if is_async else Iterating()) == [OK]


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("consumer", [numbers, async_numbers])
def test_replies_of_a_generator_to_another_process(consumer: Any, runner: str) -> None:
    """L3: a reply that finds its channel full is sent again."""

    async def main(calling: Calling) -> None:
        calling.layer.capacities.usual = 2
        call, owner = calling.make()
        call.message.content["reply_channel"] = ReplyChannel("other!1", calling.layer)
        call.start()
        received: list[Any] = []
        while len(received) < 5:
            _, message = await calling.layer.receive_async(["other!"])
            received.append(message)
        await owner.ended.wait()
        assert received == FIVE

    run(main, consumer, runner)


# ------------------------------------------------------------- contexts


variable: ContextVar[str] = ContextVar("variable", default="unset")


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("shape", ["plain", "coroutine", "object that returns a coroutine"])
def test_a_consumer_runs_in_the_context_of_its_request(shape: str, runner: str) -> None:
    """L2: it sees the context variables of what called it, and its own stay its own."""
    seen = []

    def consumer(message: Any) -> Any:
        seen.append(variable.get())
        variable.set("changed")
        return CONSUMERS[shape](message) if shape != "plain" else plain(message)

    async def main(calling: Calling) -> None:
        variable.set("outer")
        await calling.call()
        await calling.call()
        assert variable.get() == "outer"

    run(main, consumer, runner)
    assert seen == ["outer", "outer"]


# ------------------------------------------------------------- no place, and the end


def test_a_full_queue_refuses_a_call() -> None:
    """W52: the owner has the error, and knows that the consumer was not called."""
    release = threading.Event()
    started = threading.Event()

    def consumer(message: Any) -> None:
        started.set()
        release.wait(20)

    async def main(calling: Calling) -> None:
        running, first = calling.make()
        running.start()
        while not started.is_set():
            await asyncio.sleep(0.001)
        queued, second = calling.make()
        queued.start()
        refused = await calling.call()
        assert isinstance(refused.error, Overloaded)
        assert refused.refused
        assert not queued.refused
        release.set()
        await first.ended.wait()
        await second.ended.wait()

    run(main, consumer, threads=1, queue_limit=1)


def test_a_call_in_the_queue_is_taken_back() -> None:
    """L3: a call whose client has left is not made."""
    release = threading.Event()
    calls = []

    def consumer(message: Any) -> None:
        calls.append(message["path"])
        release.wait(20)

    async def main(calling: Calling) -> None:
        running, first = calling.make(path="/1", client=["192.0.2.1", 1234])
        running.start()
        while not calls:
            await asyncio.sleep(0.001)
        assert running.peer == ("192.0.2.1", 1234)
        assert not running.withdraw()
        queued, owner = calling.make(path="/2")
        assert queued.peer is None
        queued.start()
        queued.on_long_wait()
        assert queued.withdraw()
        assert owner.ended.is_set()
        third, last = calling.make(path="/3")
        third.start()
        third.give_up()
        assert last.ended.is_set()
        release.set()
        await first.ended.wait()

    run(main, consumer, threads=1)
    assert calls == ["/1"]


def test_a_consumer_that_waits_for_itself_gets_an_error() -> None:
    """W53: a call that could only wait for its own thread is refused."""

    async def main(calling: Calling) -> None:
        async def again() -> ConsumerCall:
            return await calling.call()

        def consumer(message: Any) -> None:
            calling.client.reply({"inner": bridge.await_(again()).error})

        calling.caller.consumer = consumer
        await calling.call()
        (reply,) = calling.client.replies
        assert isinstance(reply["inner"], SelfRequest)

    run(main, plain, threads=1)


def test_a_coroutine_that_a_thread_has_returned_holds_no_thread() -> None:
    """W53: it may call the app again."""
    seen = []

    async def later() -> None:
        seen.append(occupied_runners.get())

    called(lambda message: later())
    assert seen == [()]


@pytest.mark.parametrize("is_async", [False, True])
def test_giving_up_cancels_what_runs_on_the_loop(is_async: bool) -> None:
    """L3: a coroutine is cancelled, a greenlet interrupted, and the owner told of the end."""

    async def waits(message: Any) -> None:
        await asyncio.get_running_loop().create_future()

    def waits_in_a_greenlet(message: Any) -> None:
        bridge.await_(waits(message))

    async def main(calling: Calling) -> None:
        call, owner = calling.make()
        call.start()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        call.give_up()
        await owner.ended.wait()
        assert owner.ends == 1
        expected = asyncio.CancelledError if is_async else RequestCancelled
        assert isinstance(call.error, expected)

    run(main, waits if is_async else waits_in_a_greenlet, "greenlet")


def test_giving_up_a_paused_generator_closes_it() -> None:
    """L3: also under the inline runner, between two replies."""
    closed = []

    def consumer(message: Any) -> Iterator[Any]:
        try:
            while True:
                yield {}
        finally:
            closed.append(1)

    async def main(calling: Calling) -> None:
        async def never() -> None:
            await asyncio.get_running_loop().create_future()

        calling.client.slow_after = 1
        calling.client.caught_up = never  # type: ignore[method-assign]
        call, owner = calling.make()
        call.start()
        assert not owner.ended.is_set()
        call.give_up()
        await owner.ended.wait()
        assert isinstance(call.error, asyncio.CancelledError)
        call.cancel()

    run(main, consumer, "inline")
    assert closed == [1]


@pytest.mark.parametrize("consumer", [coroutine, numbers])
def test_a_call_that_is_given_up_at_once(consumer: Any) -> None:
    """L3: the owner is told of the end, also if its task has not begun."""

    async def main(calling: Calling) -> None:
        calling.client.slow_after = 1
        call, owner = calling.make()
        call.start()
        call.give_up()
        await owner.ended.wait()
        assert isinstance(call.error, asyncio.CancelledError)

    run(main, consumer, "inline")


def test_channel_full_is_an_error_of_plain_functions() -> None:
    """L4: what sends without waiting is told that the client is slow."""

    async def main(calling: Calling) -> None:
        calling.client.full_after = 0
        call = await calling.call()
        assert isinstance(call.error, ChannelFull)

    run(main, plain)


# ------------------------------------------------------------- jobs of a host's own


class OwnJob:
    """The job of a host that calls the consumer itself."""

    queued_at = 0.0
    streams = False
    peer = None

    def __init__(self, call: ConsumerCall) -> None:
        self.call = call
        self.error: BaseException | None = None
        self._begun = False

    def on_long_wait(self) -> None: ...

    def refuse(self, error: BridgeError) -> None:
        self.call.refuse(error)

    def cancel(self) -> None:
        self.call.cancel()

    def __call__(self) -> bool:
        call, result = self.call, None
        if not self._begun:
            self._begun = True
            try:
                result = call.caller.consumer(call.message)
            except LookupError as error:
                self.error = error
        ended = call.take_result(result, copy_context() if call.caller.threaded else None)
        if call.caller.threaded:
            call.caller.completions.put(self)
        return ended

    def on_completed(self) -> None:
        self.call.job_ended(self.error)


def own_job(calling: Calling) -> tuple[ConsumerCall, OwnJob, Owner]:
    """Begin a call whose job is another object."""
    made, owner = calling.make()
    call = ConsumerCall(calling.caller, made.message, owner, job=(job := OwnJob(made)))
    job.call = call
    calling.runner.submit(job)
    if not calling.caller.threaded:
        job.on_completed()
    return call, job, owner


def replies_in_turn(message: Message) -> Iterator[Any]:
    yield from ({"number": number} for number in range(4))


async def reply_later(message: Message) -> None:
    await asyncio.sleep(0)
    message.reply_channel.send({"number": 0})


def look_up(message: Message) -> None:
    raise LookupError("broken")


@pytest.mark.parametrize("runner", ["thread", "inline"])
def test_a_job_of_the_host_calls_the_consumer(runner: str) -> None:
    """L2: a generator pauses and goes on, an awaitable is awaited, an error is told."""
    for consumer, replies in ((replies_in_turn, 4), (lambda m: reply_later(m), 1), (look_up, 0)):

        async def main(calling: Calling, replies: int = replies) -> None:
            calling.client.slow_after = 2
            call, _, owner = own_job(calling)
            await owner.ended.wait()
            assert len(calling.client.replies) == replies
            assert isinstance(call.error, LookupError) == (replies == 0)

        run(main, consumer, runner)


def test_a_job_of_the_host_is_given_up() -> None:
    """L3: a generator that has paused is closed."""
    closed = []

    def consumer(message: Message) -> Iterator[Any]:
        try:
            yield {}
            yield {}
        finally:
            closed.append(True)

    async def main(calling: Calling) -> None:
        calling.client.slow_after = 1
        call, _, owner = own_job(calling)
        assert not closed
        call.give_up()
        await owner.ended.wait()
        assert closed

    run(main, consumer, "inline")


def test_a_job_of_the_host_is_taken_back() -> None:
    """W52: while it waits for a thread."""
    release = threading.Event()

    async def main(calling: Calling) -> None:
        own_job(calling)
        call, _, owner = own_job(calling)
        assert call.withdraw()
        assert owner.ends == 1
        assert calling.runner.stats().queued == 1
        release.set()

    run(main, lambda message: release.wait(20) and None, "thread", threads=1)
