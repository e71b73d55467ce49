"""One HTTP request whose consumer, on a worker, is called at once (L3, L4, L9, L13)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from bridge import from_asgi1
from bridge.asgi1.app import ConsumerApp
from bridge.channels import MemoryLayer
from bridge.errors import Overloaded, RequestError
from bridge.gateway.back import consumer_http
from bridge.gateway.back.app_session import TakenRequest
from bridge.gateway.back.consumer_http import HttpCall, call_at_once
from bridge.gateway.back.mounted_consumers import Found
from bridge.gateway.consumer_content import TELLS_APART, session_channel
from bridge.gateway.credits import WINDOW
from bridge.gateway.protocol import ANSWER, CANCEL, CONSUMER, CONSUMERS, END, EVENTS, SESSION, TAKEN
from bridge.types import Message
from tests.support.sessions import Ends, quiet, run, upload
from tests.support.sessions import until as until_soon

HELLO = {"status": 200, "headers": [(b"X-A", b"1")], "content": b"hello"}
ANSWERED = (ANSWER, [200, [(b"x-a", b"1")], b"hello"])
MORE = {"status": 200, "content": b"1", "more_content": True}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway is told of a consumer in the next turn, if not before."""
    monkeypatch.setattr(consumer_http, "_MOMENT", 0)


class Run:
    """A consumer that is called for one request; `replies` came by its layer."""

    def __init__(
        self, consumer: Any, events: list[Message] | None = None, offer: Any = None, **settings: Any
    ) -> None:
        self.layer = MemoryLayer()
        queue = self.layer.new_reply_channel().partition("!")[0] + "!"
        self.replies: list[Message] = []
        self.channel = session_channel(queue, 0)
        self.layer.attach(self.channel, self.replies.append)
        app = from_asgi1(consumer, layer=self.layer, **settings)
        assert isinstance(app, ConsumerApp)
        self.app = app
        extensions = {CONSUMERS: {"replies": queue} if offer is None else offer}
        scope = {
            "type": "http",
            "method": "GET",
            "http_version": "1.1",
            "path": "/a",
            "headers": [(b"x", b"1")],
            "client": ("192.0.2.1", 7),
            "extensions": extensions,
        }
        #: A scope with the offer of a gateway, which a session takes out.
        self.offering: dict[str, Any] = {**scope, "extensions": dict(extensions)}
        self.ends = Ends(scope, [upload()] if events is None else events)
        request = self.ends.request
        self.call = call_at_once(self.ends, request, Found(app, "", request.scope))

    def start(self) -> None:
        """Begin, as a worker does."""
        assert self.call is not None
        self.task: asyncio.Task[None] | None = None
        self.over = asyncio.Event()
        if self.call.begin(self._start, lambda call: self.over.set()) and self.task is None:
            self.over.set()

    def _start(self, call: TakenRequest, coroutine: Coroutine[Any, Any, None]) -> None:
        self.task = asyncio.create_task(coroutine)
        self.task.add_done_callback(lambda task: self.over.set())

    async def end(self) -> None:
        """Return when the worker is done with it."""
        await asyncio.wait_for(self.over.wait(), 20)
        if self.task is not None:
            await self.task
        await self.app.runner.stop(5)

    @property
    def kinds(self) -> list[int]:
        return [kind for kind, _ in self.ends.written]


def in_thread(message: Any) -> None:
    message.reply_channel.send(HELLO)


async def on_loop(message: Any) -> None:
    message.reply_channel.send(HELLO)


def as_generator(message: Any) -> Any:
    yield HELLO


@pytest.mark.parametrize("runner", ["thread", "inline", "greenlet"])
@pytest.mark.parametrize("consumer", [in_thread, on_loop, as_generator])
def test_a_whole_response(consumer: Any, runner: str) -> None:
    """L9: it is one frame, and the gateway has heard of nothing else."""

    async def test() -> None:
        ran = Run(consumer, runner=runner)
        ran.start()
        await ran.end()
        assert (ran.ends.written, ran.replies) == ([ANSWERED], [])

    run(test)


@pytest.mark.parametrize("runner", ["thread", "inline", "greenlet"])
def test_a_response_in_pieces(runner: str) -> None:
    """L3 L9: the gateway is told of the consumer, and the pieces go by the layer."""
    last = {"content": b"2"}

    def consumer(message: Any) -> None:
        message.reply_channel.send(MORE)
        message.reply_channel.send(last)

    async def test() -> None:
        ran = Run(consumer, runner=runner)
        ran.start()
        (event,) = await ran.ends.answer()
        assert told(event)
        await ran.end()
        assert ran.replies == [MORE, last]

    run(test)


def test_the_message() -> None:
    """L4 L9: it has the keys of ASGI 1, made from the scope and the body that came with it."""
    seen: list[Any] = []

    def consumer(message: Any) -> None:
        seen.append((message["path"], message["headers"], message["body"], message["client"]))
        seen.append(str(message["reply_channel"]))
        in_thread(message)

    async def test() -> None:
        ran = Run(consumer, [upload(b"abc")])
        ran.start()
        await ran.end()
        assert seen == [("/a", [(b"x", b"1")], b"abc", ["192.0.2.1", 7]), ran.channel]

    run(test)


@pytest.mark.parametrize(
    ("events", "offer"),
    [
        ([], None),
        ([upload(b"a", more=True)], None),
        ([upload(b"x" * (WINDOW + 1))], None),
        (None, {}),
        (None, {"replies": 3}),
        (None, 3),
    ],
)
def test_what_is_handed_back(events: Any, offer: Any) -> None:
    """L9: a body that is to come, and a gateway that does not offer more."""
    assert asyncio.run(_calls(events, offer)) is None


async def _calls(events: Any, offer: Any) -> HttpCall | None:
    return Run(in_thread, events, offer).call


def test_a_large_response() -> None:
    """L9: it leaves in pieces, as its client takes it."""
    large = b"x" * (3 * WINDOW)

    async def consumer(message: Any) -> None:
        message.reply_channel.send({"status": 200, "content": large})

    async def test() -> None:
        ran = Run(consumer)
        ran.start()
        start, *pieces = await ran.ends.answer()
        await ran.end()
        length = (b"content-length", b"%d" % len(large))
        assert (start["status"], start["headers"]) == (200, [length])
        assert b"".join(each["body"] for each in pieces) == large
        assert ran.ends.written[0] == (TAKEN, SESSION)

    run(test)


def test_a_response_that_takes_longer() -> None:
    """L9: the gateway knows who has it; the answer is that of any app."""

    async def test() -> None:
        go_on = threading.Event()

        def consumer(message: Any) -> None:
            go_on.wait(20)
            in_thread(message)

        ran = Run(consumer)
        ran.start()
        assert ran.call is not None
        consumer_http._MOMENT = 20  # type: ignore[misc]
        ran.call.tell()
        ran.call.tell()
        go_on.set()
        assert [each["type"] for each in await ran.ends.answer()] == [
            "http.response.start",
            "http.response.body",
        ]
        await ran.end()
        assert ran.kinds == [TAKEN, EVENTS, END]

    run(test)


def told(event: Message) -> bool:
    return event["type"] == CONSUMERS and event.get("called") is True


def test_the_gateway_is_told_of_the_consumer() -> None:
    """L9: after a moment; a whole response goes to it all the same."""

    async def test() -> None:
        go_on = threading.Event()

        def consumer(message: Any) -> None:
            go_on.wait(20)
            in_thread(message)

        ran = Run(consumer)
        ran.start()
        assert ran.call is not None
        ran.call.tell()
        event = await ran.ends.gateway.read()
        assert event is not None
        assert told(event)
        go_on.set()
        reply = {"status": 200, "headers": ((b"x-a", b"1"),), "content": b"hello"}
        assert await ran.ends.gateway.read() == {"type": CONSUMERS, "reply": reply}
        assert await ran.ends.gateway.read() is None
        await ran.end()
        assert ran.ends.ended_with is None
        assert ran.ends.written[0] == (TAKEN, CONSUMER)

    run(test)


def test_replies_in_pieces() -> None:
    """L3 L9: the gateway is told at the first one, and all go by the layer."""

    async def test() -> None:
        go_on = threading.Event()

        def consumer(message: Any) -> None:
            message.reply_channel.send(MORE)
            go_on.wait(20)
            message.reply_channel.send({"content": b"2"})

        ran = Run(consumer)
        ran.start()
        event = await ran.ends.gateway.read()
        assert event is not None
        assert told(event)
        go_on.set()
        assert await ran.ends.gateway.read() is None
        await ran.end()
        assert ran.replies == [MORE, {"content": b"2"}]

    run(test)


def test_no_reply_when_the_call_ends() -> None:
    """L3 L9: the gateway has the client, and replies may come from anywhere."""
    channels: list[Any] = []

    async def test() -> None:
        ran = Run(lambda message: channels.append(message.reply_channel))
        ran.start()
        (event,) = await ran.ends.answer()
        assert told(event)
        await ran.end()
        channels[0].send(HELLO)
        assert (ran.replies, ran.ends.ended_with) == ([HELLO], None)

    run(test)


def test_a_reply_of_another_thread() -> None:
    """L3 L9: as long as the call has not ended, it is the answer."""

    async def test() -> None:
        async def consumer(message: Any) -> None:
            await asyncio.to_thread(message.reply_channel.send, HELLO)

        ran = Run(consumer)
        ran.start()
        await ran.end()
        assert ran.ends.written == [ANSWERED]

    run(test)


# ------------------------------------------------------------- the end


def sees_ends(seen: list[str], reply: Any = None) -> Any:
    """A consumer that tells messages apart."""

    def consumer(message: Any) -> None:
        seen.append(message.channel.name)
        if reply is not None:
            message.reply_channel.send(reply)

    return consumer


def test_the_end_is_told() -> None:
    """L4: to consumers that tell messages apart, after the response; then replies are dropped."""
    seen: list[str] = []

    async def test() -> None:
        ran = Run(sees_ends(seen, HELLO))
        ran.start()
        await ran.end()
        assert seen == ["http.request", "http.disconnect"]
        assert (ran.ends.written, ran.replies) == ([ANSWERED], [])

    run(test)


def test_the_end_is_for_the_gateway_to_tell() -> None:
    """L4: if that has the client, it learns that the consumer tells messages apart."""
    seen: list[str] = []

    async def test() -> None:
        ran = Run(sees_ends(seen))
        ran.start()
        first, last = await ran.ends.answer()
        assert told(first)
        assert last == TELLS_APART
        await ran.end()
        assert seen == ["http.request"]

    run(test)


def test_the_client_leaves() -> None:
    """L4 L10: the consumer is told, by a call of its own; what it sends is dropped."""
    seen: list[str] = []

    async def test() -> None:
        left = threading.Event()

        def consumer(message: Any) -> None:
            seen.append(message["path"])
            if len(seen) == 1:
                left.wait(20)
            else:
                left.set()
            in_thread(message)

        ran = Run(consumer, threads=2)
        ran.start()
        await until_soon(lambda: seen)
        assert ran.call is not None
        ran.call.tell()
        ran.ends.gateway.write(CANCEL, None)
        await ran.end()
        assert (seen, ran.replies) == (["/a", "/a"], [])
        assert ran.ends.written[0] == (TAKEN, CONSUMER)
        assert (ANSWER in ran.kinds, END in ran.kinds) == (False, False)

    run(test)


def test_the_client_leaves_a_consumer_that_waits_for_a_thread() -> None:
    """L10: it is not called at all."""

    async def test() -> None:
        go_on, seen = threading.Event(), []

        def consumer(message: Any) -> None:
            seen.append(message["path"])
            go_on.wait(20)

        ran = Run(consumer, threads=1)
        waiting = Run(consumer)
        request = waiting.ends.request._replace(scope=waiting.offering)
        waiting.call = call_at_once(waiting.ends, request, Found(ran.app, "", request.scope))
        ran.start()
        await until_soon(lambda: seen)
        waiting.start()
        assert waiting.call is not None
        waiting.call.tell()
        waiting.ends.gateway.write(CANCEL, None)
        await asyncio.wait_for(waiting.over.wait(), 20)
        go_on.set()
        await ran.end()
        assert seen == ["/a"]

    run(test)


# ------------------------------------------------------------- what goes wrong


def test_a_consumer_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """L13: logged here with its traceback, and told to the gateway."""

    def consumer(message: Any) -> None:
        raise ValueError("no")

    async def test() -> None:
        ran = Run(consumer)
        ran.start()
        assert await ran.ends.answer() == []
        await ran.end()
        assert ran.ends.ended_with == "the app raised ValueError: no"

    run(test)
    (record,) = caplog.records
    assert record.getMessage() == "the app raised in GET /a"
    assert record.exc_info is not None


@pytest.mark.parametrize(("error", "level"), [(413, "INFO"), (503, "WARNING")])
def test_a_consumer_that_refuses(error: int, level: str, caplog: pytest.LogCaptureFixture) -> None:
    """L9: errors with a status are the answer, as beside the sockets."""
    caplog.set_level("INFO", logger="bridge")

    def consumer(message: Any) -> None:
        raise RequestError("too much", status=413) if error == 413 else Overloaded("too many")

    async def test() -> None:
        ran = Run(consumer)
        ran.start()
        await ran.end()
        ((kind, payload),) = ran.ends.written
        assert (kind, payload[0]) == (ANSWER, error)

    run(test)
    assert [each.levelname for each in caplog.records] == [level]


def test_a_consumer_that_raises_after_its_response(caplog: pytest.LogCaptureFixture) -> None:
    """L13: the response is whole, and the log has the error."""

    def consumer(message: Any) -> None:
        in_thread(message)
        raise ValueError("late")

    async def test() -> None:
        ran = Run(consumer)
        ran.start()
        await ran.end()
        assert ran.ends.written == [ANSWERED]

    run(test)
    assert [each.getMessage() for each in caplog.records] == ["the app raised in GET /a"]


@pytest.mark.parametrize("runner", ["thread", "inline"])
def test_a_consumer_that_raises_after_its_response_in_pieces(runner: str) -> None:
    """L13: the gateway waits for all pieces, and hears of no error."""

    def consumer(message: Any) -> None:
        message.reply_channel.send(MORE)
        message.reply_channel.send({"content": b"2"})
        raise Overloaded("late")

    async def test() -> None:
        ran = Run(consumer, runner=runner)
        ran.start()
        await ran.end()
        assert ran.replies == [MORE, {"content": b"2"}]
        assert ran.ends.written[-1] == (END, None)

    run(test)


def test_a_consumer_that_refuses_late() -> None:
    """L9: the answer is the same when the gateway knows of the consumer already."""
    go_on = threading.Event()

    def consumer(message: Any) -> None:
        go_on.wait(20)
        raise RequestError("too much", status=413)

    async def test() -> None:
        ran = Run(consumer)
        ran.start()
        assert ran.call is not None
        ran.call.tell()
        await until_soon(lambda: EVENTS in ran.kinds)
        go_on.set()
        await ran.end()
        told, reply = (payload[0] for kind, payload in ran.ends.written if kind == EVENTS)
        assert (told["called"], reply["reply"]["status"]) == (True, 413)
        assert ran.ends.written[-1] == (END, None)

    run(test)


def test_a_reply_of_a_thread_beside_the_loop() -> None:
    """L3: it leaves at once, also under the inline runner, which such a consumer does not use."""

    async def test() -> None:
        go_on = asyncio.Event()

        async def consumer(message: Any) -> None:
            await asyncio.to_thread(in_thread, message)
            await go_on.wait()

        ran = Run(consumer, runner="inline")
        ran.start()
        await until_soon(lambda: ran.ends.written)
        go_on.set()
        await ran.end()
        assert ran.ends.written == [ANSWERED]

    run(test)


def test_the_end_of_a_consumer_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """L13: what it raises when it is told of the end is logged."""

    def consumer(message: Any) -> None:
        if message.channel.name == "http.disconnect":
            raise ValueError("no")
        in_thread(message)

    async def test() -> None:
        ran = Run(consumer)
        ran.start()
        await ran.end()

    run(test)
    assert [each.getMessage() for each in caplog.records] == [
        "the app raised in http.disconnect /a"
    ]


def test_a_consumer_that_cannot_be_called(caplog: pytest.LogCaptureFixture) -> None:
    """L13: a scope that has no path, of a stranger."""

    async def test() -> None:
        ran = Run(in_thread)
        del ran.ends.request.scope["path"]
        ran.start()
        assert await ran.ends.answer() == []
        await ran.end()
        assert ran.ends.ended_with == "the app raised KeyError: 'path'"

    run(test)


@pytest.mark.parametrize("told", [True, False])
def test_the_worker_stops(told: bool) -> None:
    """L9: what runs is cancelled when its time is up."""
    cancelled: list[int] = []

    async def test() -> None:
        async def consumer(message: Any) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(1)
                raise

        ran = Run(consumer)
        ran.start()
        assert ran.call is not None
        await quiet()
        if told:
            ran.call.tell()
        ran.call.cut(ran.task)
        await asyncio.wait_for(ran.over.wait(), 20)
        await until_soon(lambda: cancelled)
        await quiet()
        assert [kind for kind in ran.kinds if kind != EVENTS] == [TAKEN, CANCEL]

    run(test)


def test_a_client_that_leaves_a_large_response() -> None:
    """L4 L10: the consumer is told as in the middle of any other."""
    seen: list[Any] = []

    async def consumer(message: Any) -> None:
        seen.append(message["path"])
        if len(seen) == 1:
            message.reply_channel.send({"status": 200, "content": b"x" * (3 * WINDOW)})

    async def test() -> None:
        ran = Run(consumer)
        ran.start()
        assert await ran.ends.gateway.read() is not None
        ran.ends.gateway.write(CANCEL, None)
        await ran.end()
        assert seen == ["/a", "/a"]

    run(test)


def test_a_response_for_a_client_that_has_left() -> None:
    """L4 L10: it is dropped, and the consumer is told."""
    seen: list[str] = []

    async def test() -> None:
        async def consumer(message: Any) -> None:
            seen.append(message["path"])
            if len(seen) == 1:
                while ran.ends.worker.over is None:
                    await asyncio.sleep(0)
                message.reply_channel.send(HELLO)

        ran = Run(consumer)
        ran.start()
        await until_soon(lambda: seen)
        assert ran.call is not None
        ran.call.tell()
        ran.ends.gateway.write(CANCEL, None)
        await ran.end()
        assert (seen, ran.replies) == (["/a", "/a"], [])
        assert END not in ran.kinds

    run(test)


def test_no_place_for_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """L4 L10: a consumer that cannot be told is no error; what it sends then is dropped."""

    async def test() -> None:
        left, seen = threading.Event(), []

        def consumer(message: Any) -> None:
            seen.append(message["path"])
            left.wait(20)
            in_thread(message)

        ran = Run(consumer, threads=1, queue_limit=1)
        ran.start()
        await until_soon(lambda: seen)
        waiting = Run(consumer)
        request = waiting.ends.request._replace(scope=waiting.offering)
        waiting.call = call_at_once(waiting.ends, request, Found(ran.app, "", request.scope))
        waiting.start()  # for the only thread
        assert ran.call is not None
        ran.call.tell()
        ran.ends.gateway.write(CANCEL, None)
        await until_soon(lambda: ran.ends.worker.over)
        await quiet()
        left.set()
        await asyncio.wait_for(waiting.over.wait(), 20)
        await ran.end()
        assert len(seen) == 2
        assert ANSWER not in ran.kinds

    run(test)
    assert caplog.records == []
