"""A consumer's first call: whole responses at once, and what takes over from it."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from bridge.asgi1.http import HttpExchange, request_content
from bridge.asgi1.message import Message
from bridge.errors import IllegalMessage, Overloaded
from bridge.http.response_head import ResponseHead
from bridge.limits import HIGH_WATER
from bridge.runners.base import occupied_runners
from bridge.server.apps.asgi.first_call import FirstCall
from tests.adapters.wsgi_on_asgi.asking import Client
from tests.asgi1.calling import Calling, run

RUNNERS = ["thread", "inline"]
OK = {"status": 200, "headers": [(b"x-y", b"z")], "content": b"hello"}
NOTED: ContextVar[str] = ContextVar("NOTED", default="unset")


class Asked:
    """One request, whose handler is at the same time this; it takes whole responses."""

    def __init__(self, calling: Calling) -> None:
        self.calling = calling
        self.client = Client()
        self.whole: tuple[ResponseHead, bytes] | None = None
        self.rest: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        content = request_content(self.client.scope, b"")
        self.call = FirstCall(calling.caller, calling.layer, content, self)

    @property
    def handler(self) -> Asked:
        return self

    def start(self) -> Asked:
        try:
            self.calling.runner.submit(self.call)
        except Overloaded as error:
            self.call.refuse(error)
            return self
        if not self.calling.caller.threaded:
            self.look(self.call)
        return self

    def look(self, call: FirstCall) -> None:
        self.whole = call.take_whole()
        if self.whole is not None:
            self._settled.set()
        elif not call.waits_for_end:
            self.take_over(call)

    def take_over(self, call: FirstCall) -> None:
        client = self.client
        exchange = HttpExchange(
            call.caller, call.layer, 0, client.scope, client.receive, client.send, call
        )
        self.rest = asyncio.ensure_future(exchange.finish())
        self._settled.set()

    async def settled(self) -> Asked:
        """Return when the response was taken whole, or something takes over."""
        await asyncio.wait_for(self._settled.wait(), 20)
        return self

    async def end(self) -> Client:
        """Return when what has taken over is done; raises what it raises."""
        await self.settled()
        assert self.rest is not None
        await asyncio.wait_for(self.rest, 20)
        return self.client


def hello(message: Message) -> None:
    message.reply_channel.send(OK)


def answer(consumer: Any, runner: str) -> Asked:
    """Have one request answered."""

    async def main(calling: Calling) -> Asked:
        asked = await Asked(calling).start().settled()
        if asked.rest is not None:
            await asked.end()
        return asked

    found: Asked = run(main, consumer, runner)
    return found


# ------------------------------------------------------------- whole responses


def takes_channels(message: Any, channels: Any) -> None:
    assert message["channel"] == "http.request"
    assert message["reply_channel"] is channels["reply"]
    channels["reply"].send(OK)


def by_the_layer(message: Message) -> None:
    with pytest.raises(IllegalMessage):
        message.channel_layer.send(str(message["reply_channel"]), {"content": b"no status"})
    message.channel_layer.send(str(message["reply_channel"]), OK)
    message.channel_layer.send(str(message["reply_channel"]), OK)  # after the end: dropped


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("consumer", [hello, takes_channels, by_the_layer])
def test_a_whole_response_is_taken_at_once(consumer: Any, runner: str) -> None:
    """L2 L4: without messages; the channel is closed after it."""
    asked = answer(consumer, runner)
    assert asked.whole is not None
    assert (asked.whole[0].raw_headers, asked.whole[1]) == ([(b"x-y", b"z")], b"hello")
    assert (asked.client.sent, asked.rest) == ([], None)


@pytest.mark.parametrize("runner", RUNNERS)
def test_what_comes_after_a_whole_response(runner: str) -> None:
    """L4: an error in its sender's `send`; by the layer it is dropped."""
    kept: list[Message] = []

    def consumer(message: Message) -> None:
        kept.append(message)
        hello(message)

    async def main(calling: Calling) -> None:
        await Asked(calling).start().settled()
        (message,) = kept
        with pytest.raises(IllegalMessage, match="the response is complete"):
            message.reply_channel.send(OK)
        calling.layer.send(str(message.reply_channel), OK)

    run(main, consumer, runner)


def test_nothing_is_left_to_the_collector() -> None:
    """L3: neither of a response that was whole nor of one that was not."""

    def consumer(message: Message) -> Any:
        hello(message)
        return iter(()) if threading.current_thread() is threading.main_thread() else None

    def left() -> int:
        return sum(type(each) is FirstCall for each in gc.get_objects())

    async def main(calling: Calling) -> None:
        asked = await Asked(calling).start().settled()
        if asked.rest is not None:
            await asked.end()
        vars(asked).clear()  # as no exchange refers to its call

    before = left()
    gc.disable()
    try:
        run(main, hello, "inline")
        run(main, consumer, "inline")
        run(main, hello, "thread")
        assert left() == before
    finally:
        gc.enable()


# ------------------------------------------------------------- what takes over


def raises(message: Message) -> None:
    hello(message)
    raise LookupError("broken")


def twice(message: Message) -> None:
    hello(message)
    with pytest.raises(IllegalMessage, match="the response is complete"):
        message.reply_channel.send(OK)


def in_pieces(message: Message) -> None:
    message.reply_channel.send({**OK, "content": b"he", "more_content": True})
    message.channel_layer.send(str(message.reply_channel), {"content": b"llo"})
    message.channel_layer.send(str(message.reply_channel), OK)  # after the end: dropped


def generator(message: Message) -> Iterator[Any]:
    yield {**OK, "content": b"he", "more_content": True}
    yield {"content": b"llo"}


def awaitable(message: Message) -> Any:
    async def later() -> None:
        await asyncio.sleep(0)
        hello(message)

    return later()


def in_a_thread(message: Message) -> None:
    threading.Timer(0.01, hello, (message,)).start()


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("consumer", [twice, in_pieces, generator, awaitable, in_a_thread])
def test_other_responses_go_on(consumer: Any, runner: str) -> None:
    """L2 L3: with what was replied so far."""
    asked = answer(consumer, runner)
    if asked.whole is not None:  # the thread has replied before its job has ended
        assert consumer is in_a_thread
        return
    client = asked.client
    assert (client.status, client.headers[b"x-y"], client.body) == (200, b"z", b"hello")


def test_what_a_thread_has_returned_is_awaited_in_its_context() -> None:
    """L2: and holds no thread."""
    noted = []

    def consumer(message: Message) -> Any:
        NOTED.set("noted")

        async def later() -> None:
            noted.append((NOTED.get(), occupied_runners.get()))
            hello(message)

        return later()

    answer(consumer, "thread")
    assert noted == [("noted", ())]


@pytest.mark.parametrize("runner", RUNNERS)
def test_what_the_consumer_raises_goes_on(runner: str) -> None:
    """L3: after the response that it has sent."""

    async def main(calling: Calling) -> None:
        asked = await Asked(calling).start().settled()
        with pytest.raises(LookupError):
            await asked.end()
        assert asked.client.body == b"hello"

    run(main, raises, runner)


def flood(message: Message) -> Iterator[Any]:
    yield {"status": 200, "content": b"x" * (HIGH_WATER + 1), "more_content": True}
    for _ in range(3):
        yield {"content": b"x" * (HIGH_WATER + 1), "more_content": True}
    yield {}


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_generator_waits_for_a_slow_client(runner: str) -> None:
    """L3: and goes on when it has caught up."""
    client = answer(flood, runner).client
    assert len(client.body) == 4 * (HIGH_WATER + 1)


def test_a_paused_generator_is_closed_with_the_runner() -> None:
    """W54: nobody resumes it any more."""
    closed = []

    def consumer(message: Message) -> Iterator[Any]:
        try:
            yield from flood(message)
        finally:
            closed.append(True)

    async def main(calling: Calling) -> None:
        asked = Asked(calling)
        asked.client.slow = asyncio.Event()
        await asked.start().settled()
        assert not closed
        await calling.runner.stop()
        assert closed
        asked.rest and asked.rest.cancel()

    run(main, consumer, "inline")


def test_a_sender_may_wait_for_a_slow_client() -> None:
    """L3: from the first reply on; one of a whole response need not."""
    waited: list[bool] = []

    async def main(calling: Calling) -> None:
        asked = Asked(calling)
        client = asked.call.channel.client
        assert client is not None
        await client.caught_up()
        assert (client.is_slow, client.is_gone) == (False, False)
        asked.client.slow = asyncio.Event()
        await asked.start().settled()
        sent = asked.call.channel.send({"content": b"x", "more_content": True})

        async def wait() -> None:
            await sent
            waited.append(True)

        waiting = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        assert not waited
        asked.client.slow.set()
        await waiting
        asked.call.channel.send({})
        await asked.end()

    def consumer(message: Message) -> None:
        big = {"status": 200, "content": b"x" * (HIGH_WATER + 1), "more_content": True}
        message.reply_channel.send(big)

    run(main, consumer, "inline")


# ------------------------------------------------------------- threads


def occupied(main: Callable[[Calling, Asked, threading.Event], Any], **settings: Any) -> None:
    """Run `main` while one request holds the only thread, until the event is set."""
    release, started = threading.Event(), threading.Event()

    def consumer(message: Message) -> None:
        hello(message)
        started.set()
        assert release.wait(20)

    async def within(calling: Calling) -> None:
        first = Asked(calling).start()
        await asyncio.to_thread(started.wait, 20)
        try:
            await main(calling, first, release)
        finally:
            release.set()
        await first.settled()
        if first.rest is not None:
            await first.rest

    run(within, consumer, "thread", threads=1, **settings)


def test_a_thread_that_goes_on_after_its_response() -> None:
    """L3: the response is here, its end is not; then what has taken over is told."""

    async def main(calling: Calling, first: Asked, release: threading.Event) -> None:
        while not first.call.waits_for_end:
            await asyncio.sleep(0)
        assert first.call.take_whole() is None
        assert first.call.peer == ("192.0.2.1", 1234)
        first.call.on_long_wait()  # nothing happens
        first.take_over(first.call)
        assert first.rest is not None
        while not first.client.is_whole:
            await asyncio.sleep(0)
        assert not first.rest.done()
        release.set()
        await first.end()

    occupied(main)


def test_a_thread_that_ends_a_moment_after_its_response() -> None:
    """L3: it is looked at once more."""

    async def main(calling: Calling, first: Asked, release: threading.Event) -> None:
        await asyncio.sleep(0.01)  # the reply has been looked at, as a rule
        release.set()
        await first.settled()
        assert first.whole is not None
        assert first.call.peer is None

    occupied(main)


def test_a_full_queue_refuses_a_call(caplog: pytest.LogCaptureFixture) -> None:
    """W52: at once, or when it has waited in vain, whoever has it then."""

    async def main(calling: Calling, first: Asked, release: threading.Event) -> None:
        waiting = Asked(calling).start()
        refused = Asked(calling).start()
        assert (await refused.end()).status == 503
        waiting.take_over(waiting.call)
        asyncio.get_running_loop().call_later(0.05, release.set)
        await calling.runner.stop()
        assert (await waiting.end()).status == 503

    occupied(main, queue_limit=1)


def test_a_client_that_leaves_before_a_thread_is_free() -> None:
    """L4 W52: its place in the queue is given back."""

    async def main(calling: Calling, first: Asked, release: threading.Event) -> None:
        waiting = Asked(calling).start()
        waiting.take_over(waiting.call)
        assert calling.runner.stats().queued == 1
        waiting.client.leaves.set()
        await waiting.end()
        assert calling.runner.stats().queued == 0

    occupied(main)


def test_replies_of_many_threads() -> None:
    """L3: one is the response, and all others are errors of their senders."""
    errors: list[IllegalMessage] = []

    def consumer(message: Message) -> None:
        def send() -> None:
            try:
                hello(message)
            except IllegalMessage as error:
                errors.append(error)

        senders = [threading.Thread(target=send) for _ in range(8)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()

    asked = answer(consumer, "thread")
    body = asked.client.body if asked.whole is None else asked.whole[1]
    assert (body, len(errors)) == (b"hello", 7)
