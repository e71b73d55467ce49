"""One request to a consumer: the message, the replies, and every way in which it can end."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import bridge
from bridge.asgi1.call import Caller, CallOwner, ConsumerCall
from bridge.asgi1.http import PLAIN_NAMES, HttpExchange, plain_fields
from bridge.asgi1.http_outbox import HttpOutbox
from bridge.asgi1.http_replies import FirstReply, first_reply
from bridge.asgi1.message import Message, ReplyChannel
from bridge.channels.memory import MemoryLayer
from bridge.errors import AppError, ClientDisconnected, LayerUnavailable, RequestError
from bridge.limits import HIGH_WATER
from bridge.runners import make_runner
from bridge.runners.completions import CompletionQueue
from tests.adapters.wsgi_on_asgi.asking import Client
from tests.asgi1.calling import RUNNERS
from tests.runners.jobs import until

OK = {"status": 200, "headers": [(b"x-y", b"z")], "content": b"hello"}


class Asking:
    """A consumer under a runner, and its exchanges on the running loop."""

    def __init__(self, consumer: Any, runner: str = "thread", timeout: float = 0, **more: Any):
        self.layer = MemoryLayer()
        self.timeout = timeout
        self.runner = make_runner(runner, **more)
        self.caller = Caller(consumer, self.runner)

    def start(self, client: Client) -> asyncio.Task[None]:
        exchange = HttpExchange(
            self.caller, self.layer, self.timeout, client.scope, client.receive, client.send
        )
        return asyncio.ensure_future(exchange.run())

    async def __aenter__(self) -> Asking:
        loop = asyncio.get_running_loop()
        self.runner.start(loop)
        self.caller.open(CompletionQueue(loop))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert await self.runner.stop(10)


def run(main: Callable[[Asking], Any], consumer: Any, runner: str = "thread", **more: Any) -> Any:
    """Run `main(asking)` on a loop of its own."""

    async def within() -> Any:
        async with Asking(consumer, runner, **more) as asking:
            return await main(asking)

    return asyncio.run(within())


def ask(consumer: Any, body: Any = (), runner: str = "thread", **more: Any) -> Client:
    """Make one request; what the exchange raises is raised."""
    settings = {name: more.pop(name) for name in ("timeout", "threads") if name in more}

    async def main(asking: Asking) -> Client:
        client = Client(body, **more)
        await asking.start(client)
        return client

    found: Client = run(main, consumer, runner, **settings)
    return found


def hello(message: Message) -> None:
    message.reply_channel.send(OK)


# ------------------------------------------------------------- the message


def test_the_message_of_a_request() -> None:
    """L4: every key of `http.request`, for shapes (a) and (b)."""
    seen = []

    def consumer(message: Message) -> None:
        seen.append(message)
        hello(message)

    headers = [(b"host", b"x"), (b"content-length", b"3"), (b"x_forged", b"1"), (b"a", b"1")]
    client = ask(
        consumer, [b"a", b"bc"], method="POST", path="/p\xe4th", headers=headers, scheme="https",
        query_string=b"a=%20", root_path="/p", http_version="1.0",
    )  # fmt: skip
    (message,) = seen
    reply = message.content.pop("reply_channel")
    assert reply.startswith("bridge.")
    assert "!" in reply
    assert message.channel.name == "http.request"
    assert message.content == {
        "http_version": "1.0",
        "method": "POST",
        "scheme": "https",
        "path": "/p\xe4th",
        "query_string": b"a=%20",
        "root_path": "/p",
        "headers": [(b"host", b"x"), (b"content-length", b"3"), (b"a", b"1")],
        "body": b"abc",
        "client": ["192.0.2.1", 1234],
        "server": ["192.0.2.2", 80],
    }
    assert (client.status, client.headers[b"x-y"], client.body) == (200, b"z", b"hello")


def test_a_host_that_says_little() -> None:
    """L4: what the host does not know is empty, or None."""
    seen = []

    def consumer(message: Message) -> None:
        seen.append(dict(message.content))
        hello(message)

    async def main(asking: Asking) -> None:
        client = Client()
        for key in ("scheme", "query_string", "root_path", "client", "server"):
            del client.scope[key]
        await asking.start(client)

    run(main, consumer)
    (content,) = seen
    assert content["scheme"] == "http"
    assert content["query_string"] == b""
    assert content["root_path"] == ""
    assert content["client"] is content["server"] is None


# ------------------------------------------------------------- bodies

LARGE = [b"x" * 40_000, b"y" * 40_000, b"z"]
LARGE_FIELDS = [(b"content-length", b"80001")]
CHUNKED = [(b"transfer-encoding", b"chunked")]


def test_a_large_body_by_the_channel_layer() -> None:
    """L4: as Channels 1 reads it, in its own thread."""

    def consumer(message: Message) -> None:
        body = message["body"]
        more = True
        while more:
            _, chunk = message.channel_layer.receive([message["body_channel"]], block=True)
            assert chunk is not None
            body += chunk["content"]
            more = chunk["more_content"]
        message.reply_channel.send({"status": 200, "content": b"%d" % len(body)})

    assert ask(consumer, LARGE, method="POST", headers=LARGE_FIELDS).body == b"80001"
    assert ask(consumer, LARGE, method="POST", headers=CHUNKED).body == b"80001"


@pytest.mark.parametrize("headers", [LARGE_FIELDS, CHUNKED])
def test_a_large_body_by_pieces(headers: Any) -> None:
    """L2: `message.body`, and `channels["body"]`, which is there if more is to come."""

    async def by_message(message: Message) -> None:
        size = sum([len(piece) async for piece in message.body])
        message.reply_channel.send({"status": 200, "content": b"%d" % size})

    async def by_channels(message: Any, channels: Any) -> None:
        assert "body_channel" not in message
        size, more = len(message["body"]), True
        while more:
            chunk = await channels["body"].receive()
            size += len(chunk["content"])
            more = chunk["more_content"]
        channels["reply"].send({"status": 200, "content": b"%d" % size})

    def in_a_thread(message: Message) -> None:
        size = len(bridge.await_(message.body.read(-1)))
        message.reply_channel.send({"status": 200, "content": b"%d" % size})

    for consumer in (by_message, by_channels, in_a_thread):
        assert ask(consumer, LARGE, method="POST", headers=headers).body == b"80001"


def test_shape_c_is_called_before_a_body_without_length_has_come() -> None:
    """L2: it may answer while the client still sends."""

    async def consumer(message: Any, channels: Any) -> None:
        assert message["body"] == b""
        await channels["reply"].send({"status": 200, "content": b"!", "more_content": True})
        chunk = await channels["body"].receive()
        await channels["reply"].send({"content": chunk["content"]})

    async def main(asking: Asking) -> None:
        client = Client([b"a", b"b"], method="POST", headers=CHUNKED)
        coming, client.coming = client.coming, []
        more = asyncio.Event()
        receive = client.receive

        async def later() -> Any:
            await more.wait()
            client.coming = coming
            return await receive()

        client.receive = later  # type: ignore[method-assign]
        task = asking.start(client)
        await until(lambda: client.body == b"!")
        more.set()
        await task
        assert client.body == b"!a"

    run(main, consumer)


def test_a_body_of_no_bytes() -> None:
    """L4: nothing is awaited for it."""
    client = ask(hello, method="POST", headers=[(b"content-length", b"0")])
    assert (client.body, client.received) == (b"hello", 0)


def test_a_small_body_is_no_channel() -> None:
    """L4: it is in the message, for every shape."""

    async def consumer(message: Any, channels: Any) -> None:
        assert list(channels) == ["reply"]
        await channels["reply"].send({"status": 200, "content": message["body"]})

    headers = [(b"content-length", b"3")]
    assert ask(consumer, [b"a", b"bc"], method="POST", headers=headers).body == b"abc"


def test_a_client_that_leaves_before_its_body_is_there() -> None:
    """L4: the consumer never hears of it, as under daphne."""
    calls: list[Any] = []
    client = ask(
        calls.append, [b"a"], whole=False, leaves=True, method="POST",
        headers=[(b"content-length", b"3")],
    )  # fmt: skip
    assert calls == client.sent == []


@pytest.mark.parametrize("way", ["by message", "by channels", "by layer"])
def test_a_client_that_leaves_in_the_middle_of_its_body(way: str) -> None:
    """L4: the reader of the body is told, and then the consumer by `http.disconnect`."""
    seen: list[Any] = []

    async def by_message(message: Message) -> None:
        if message.channel.name == "http.disconnect":
            seen.append(message["path"])
            return
        while await message.body.read():
            pass

    async def by_channels(message: Any, channels: Any) -> None:
        if message["channel"] == "http.disconnect":
            seen.append(message["path"])
            return
        while not (await channels["body"].receive()).get("closed"):
            pass

    def by_layer(message: Message) -> None:
        if message.channel.name == "http.disconnect":
            seen.append(message["path"])
            return
        closed = False
        while not closed:
            _, chunk = message.channel_layer.receive([message.get("body_channel")], block=True)
            assert chunk is not None
            closed = chunk.get("closed", False)

    consumers = {"by message": by_message, "by channels": by_channels, "by layer": by_layer}
    client = ask(
        consumers[way], LARGE, whole=False, leaves=True, method="POST", path="/up",
        headers=[(b"content-length", b"90000")],
    )  # fmt: skip
    assert seen == ["/up"]
    assert client.sent == []


def test_a_body_that_nobody_reads() -> None:
    """L4: it stays with the host; who reads after the end is told that it is cut."""
    names = []

    def consumer(message: Message) -> None:
        names.append(message["body_channel"])
        hello(message)

    async def main(asking: Asking) -> None:
        client = Client(LARGE, method="POST", headers=LARGE_FIELDS)
        await asking.start(client)
        assert (client.body, client.received) == (b"hello", 0)
        received = asking.layer.receive(names)
        chunk = {"content": b"", "more_content": False, "closed": True}
        assert received == (names[0], chunk)

    run(main, consumer)


# ------------------------------------------------------------- replies, whoever sends them


@pytest.mark.parametrize("way", ["thread", "task", "callback", "layer", "group"])
def test_replies_after_the_consumer_has_returned(way: str) -> None:
    """L3: a response is over when a reply says so, not when the consumer returns."""
    threads: list[threading.Thread] = []

    async def task(message: Message) -> None:
        await asyncio.sleep(0.01)
        hello(message)

    tasks: list[asyncio.Task[None]] = []

    async def consumer(message: Message) -> None:
        loop, layer = asyncio.get_running_loop(), message.channel_layer
        if way == "thread":
            threads.append(thread := threading.Thread(target=hello, args=(message,)))
            thread.start()
        elif way == "task":
            tasks.append(loop.create_task(task(message)))
        elif way == "callback":
            loop.call_later(0.01, hello, message)
        elif way == "layer":
            loop.call_later(0.01, layer.send, message["reply_channel"], OK)
        else:
            layer.group_add("waiting", message.reply_channel)
            loop.call_later(0.01, layer.send_group, "waiting", OK)

    client = ask(consumer)
    assert (client.status, client.body) == (200, b"hello")
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_streamed_response(runner: str) -> None:
    """L4: each reply leaves by itself."""

    def consumer(message: Message) -> Iterator[Any]:
        yield {"status": 200, "more_content": True}
        for number in range(3):
            yield {"content": b"%d" % number, "more_content": True}
        yield {"content": b"!"}

    client = ask(consumer, runner=runner)
    assert (client.body, len(client.sent), client.is_whole) == (b"012!", 6, True)


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_slow_client_slows_a_generator(runner: str) -> None:
    """L3: at most 64 KiB and a piece wait."""
    made = []

    def consumer(message: Message) -> Iterator[Any]:
        yield {"status": 200, "more_content": True}
        for number in range(64):
            made.append(number)
            yield {"content": b"x" * 8192, "more_content": True}
        yield {}

    async def main(asking: Asking) -> None:
        client = Client()
        client.slow = asyncio.Event()
        task = asking.start(client)
        await until(lambda: len(made) >= 9)
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert len(made) <= 2 + HIGH_WATER // 8192
        client.slow.set()
        await task
        assert len(client.body) == 64 * 8192

    run(main, consumer, runner)


def test_a_consumer_that_goes_on_after_its_response() -> None:
    """L3: its call is waited for, and the client has the response before."""
    go_on = threading.Event()

    def consumer(message: Message) -> None:
        hello(message)
        assert go_on.wait(20)

    async def main(asking: Asking) -> None:
        client = Client()
        task = asking.start(client)
        await until(lambda: client.is_whole)
        assert not task.done()
        go_on.set()
        await task

    run(main, consumer)


def test_a_host_that_sends_whole_responses() -> None:
    """L4: it calls the consumer, has the response if that is all, and else goes on as any."""

    def consumer(message: Message) -> None:
        if message["path"] == "/apart":
            assert message.channel.name
        if message["path"] == "/raises":
            raise LookupError("broken")
        if message["path"] != "/silent":
            hello(message)

    async def main(asking: Asking) -> None:
        def begin(**scope: Any) -> tuple[HttpExchange, bool, Client]:
            client = Client(**scope)
            exchange = HttpExchange(
                asking.caller, asking.layer, 0.01, client.scope, client.receive, client.send
            )
            return exchange, exchange.begin(), client

        exchange, begun, client = begin()
        whole = exchange.whole()
        assert begun
        assert whole is not None
        assert (whole[0].status_code, whole[1], client.sent) == (200, b"hello", [])
        for path, status in (("/apart", 200), ("/silent", 503)):
            exchange, begun, client = begin(path=path)
            assert exchange.whole() is None
            await exchange.finish()
            assert client.status == status
        exchange, begun, client = begin(path="/raises")
        assert exchange.whole() is None
        with pytest.raises(LookupError):
            await exchange.finish()
        exchange, begun, client = begin(body=[b"abc"], headers=CHUNKED, method="POST")
        assert not begun
        await exchange.run()
        assert client.body == b"hello"

    run(main, consumer, "inline")


class Begun:
    """A call that a host has begun; it has ended."""

    def __init__(self, asking: Asking, first: FirstReply | None) -> None:
        self.layer = asking.layer
        self.outbox = HttpOutbox(asking.caller.completions, 1000)
        if first is not None:
            self.outbox.begin(first)
        self.channel = ReplyChannel(self.layer.new_reply_channel(), self.layer, self.outbox)
        message = Message({"reply_channel": self.channel}, "http.request", self.layer)
        self.call = ConsumerCall(asking.caller, message, self)
        self.owner: CallOwner

    def hand_over(self, owner: CallOwner) -> None:
        self.owner = owner
        self.call.job_ended(None)

    def call_ended(self, call: ConsumerCall) -> None:
        self.owner.call_ended(call)


def test_a_call_that_a_host_has_begun() -> None:
    """L3: what it has replied is sent first, then what comes."""

    async def main(asking: Asking) -> None:
        for more in (False, True):
            first = first_reply({**OK, "more_content": more}, 1000)
            begun, client = Begun(asking, first), Client()
            exchange = HttpExchange(
                asking.caller, asking.layer, 0, client.scope, client.receive, client.send, begun
            )
            finishing = asyncio.ensure_future(exchange.finish())
            if more:
                await until(lambda client=client: client.sent)
                begun.channel.send({"content": b"!"})
            await finishing
            assert (client.status, client.body) == (200, b"hello!" if more else b"hello")

    run(main, hello, "inline")


def test_names_of_fields_are_not_remembered_for_ever() -> None:
    """L4: whatever clients send, underscores are seen."""
    for number in range(3000):
        name = b"x-%d" % number
        fields = [(name, b"1"), (b"x_%d" % number, b"2"), (b"y" * 100 + name, b"3")]
        for _ in range(2):
            assert plain_fields(fields) == [fields[0], fields[2]]
    assert len(PLAIN_NAMES) < 2000


# ------------------------------------------------------------- http.disconnect


def test_a_consumer_that_tells_messages_apart_hears_of_the_end() -> None:
    """L4: as daphne sent it, after a response too; what it replies then goes nowhere."""
    seen: list[Any] = []

    def consumer(message: Message) -> None:
        seen.append((message.channel.name, dict(message.content)))
        if message.channel.name == "http.request":
            hello(message)
        else:
            message.channel_layer.send(message["reply_channel"], {"status": 500})

    client = ask(consumer, path="/x")
    assert [name for name, _ in seen] == ["http.request", "http.disconnect"]
    reply = seen[0][1]["reply_channel"]
    assert seen[1][1] == {"reply_channel": reply, "path": "/x"}
    assert len(client.sent) == 2


def test_it_hears_of_the_end_after_an_error() -> None:
    """L4: so that it can let go of what it keeps for a client, whatever came of the request."""
    seen: list[str] = []

    def consumer(message: Message) -> None:
        seen.append(message.channel.name)
        if message.channel.name == "http.request":
            raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        ask(consumer)
    assert seen == ["http.request", "http.disconnect"]


@pytest.mark.parametrize("runner", RUNNERS)
def test_other_consumers_are_called_once(runner: str) -> None:
    """L4: one that never looks at the channel would take `http.disconnect` for a request."""
    calls = []

    def consumer(message: Message) -> None:
        calls.append(message["path"])
        hello(message)

    ask(consumer, runner=runner)
    assert calls == ["/"]


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_client_that_leaves_while_it_waits(runner: str) -> None:
    """L4: a long poll is told, whatever its shape; what is sent later is dropped."""
    seen: list[Any] = []

    def consumer(message: Message) -> None:
        seen.append(message)

    async def main(asking: Asking) -> None:
        client = Client()
        task = asking.start(client)
        await until(lambda: seen)
        client.leaves.set()
        await task
        assert [message.channel.name for message in seen] == ["http.request", "http.disconnect"]
        seen[0].reply_channel.send({"nonsense": 1})
        asking.layer.send(seen[0]["reply_channel"].name, {"nonsense": 1})
        assert client.sent == []

    run(main, consumer, runner)


def test_a_client_that_leaves_after_its_body() -> None:
    """L4: it is listened for when the body has been read, and not before."""
    left = asyncio.Event()

    async def consumer(message: Message) -> None:
        if message.channel.name == "http.disconnect":
            left.set()
            return
        assert len(await message.body.read(-1)) == 80_001
        await left.wait()

    client = ask(consumer, LARGE, leaves=True, method="POST", headers=LARGE_FIELDS)
    assert client.sent == []


def test_a_coroutine_is_told_while_it_runs() -> None:
    """L4: the second call does not wait for the first: that may wait for it."""
    left = asyncio.Event()

    async def consumer(message: Any, channels: Any) -> None:
        if message["channel"] == "http.disconnect":
            left.set()
            return
        await channels["reply"].send({"status": 200, "more_content": True})
        await left.wait()

    client = ask(consumer, leaves=True)
    assert client.status == 200
    assert not client.is_whole


def test_a_host_that_tells_of_the_end_while_it_takes_the_last_piece() -> None:
    """L4: then the response is whole, and it has not left before the end."""
    calls = []
    go_on = threading.Event()

    def consumer(message: Message) -> None:
        calls.append(message["path"])
        assert go_on.wait(20)
        hello(message)

    async def main(asking: Asking) -> None:
        client = Client()

        async def send(message: Any) -> None:
            client.sent.append(message)
            if message["type"] == "http.response.body":
                client.leaves.set()
                for _ in range(5):
                    await asyncio.sleep(0)

        client.send = send  # type: ignore[method-assign]
        task = asking.start(client)
        await until(lambda: client.received == 2)  # it listens
        go_on.set()
        await task
        assert client.is_whole

    run(main, consumer)
    assert calls == ["/"]


def test_a_client_that_leaves_before_a_thread_is_free() -> None:
    """L4: the consumer never hears of it."""
    release = threading.Event()
    calls = []

    def consumer(message: Message) -> None:
        calls.append(message["path"])
        assert release.wait(20)
        hello(message)

    async def main(asking: Asking) -> None:
        first = Client(path="/1")
        task = asking.start(first)
        await until(lambda: calls)
        second = Client(path="/2", leaves=True)
        await asking.start(second)
        release.set()
        await task
        assert calls == ["/1"]
        assert second.sent == []

    run(main, consumer, threads=1)


@pytest.mark.parametrize("error", [ClientDisconnected("gone"), OSError("gone")])
def test_a_host_that_cannot_send(error: OSError) -> None:
    """L4: then the client has left; the consumer is told, and no error is raised."""
    seen: list[str] = []

    def consumer(message: Message) -> None:
        if "method" in message:
            message.reply_channel.send({"status": 200, "more_content": True})
        else:
            seen.append(message["path"])

    async def main(asking: Asking) -> None:
        client = Client()
        client.fails = error
        await asking.start(client)

    run(main, consumer)
    assert seen == ["/"]


def test_a_host_whose_receive_fails() -> None:
    """L4: then the client has left, as far as can be told."""

    async def main(asking: Asking) -> None:
        client = Client()

        async def receive() -> Any:
            raise RuntimeError("broken")

        client.receive = receive  # type: ignore[method-assign]
        await asking.start(client)
        assert client.sent == []

    run(main, lambda message: None)


def test_what_a_consumer_raises_of_a_client_that_has_left() -> None:
    """L4: that is no error; anything else is."""

    async def leaves(message: Message) -> None:
        if message.channel.name == "http.request":
            while await message.body.read():
                pass
        else:
            raise LookupError("broken at the end")

    more: dict[str, Any] = {"whole": False, "leaves": True, "method": "POST"}
    with pytest.raises(LookupError, match="at the end"):
        ask(leaves, LARGE, headers=LARGE_FIELDS, **more)


def test_no_place_for_the_last_message() -> None:
    """L4: a consumer whose threads are all taken is not told of the end, as under daphne."""
    release = threading.Event()
    calls: list[Any] = []

    def consumer(message: Message) -> None:
        calls.append(message.channel.name)
        hello(message)
        assert release.wait(20)

    async def main(asking: Asking) -> None:
        clients = [Client(), Client()]
        tasks = [asking.start(client) for client in clients]
        await until(lambda: clients[0].is_whole)
        clients.append(Client())
        await asking.start(clients[2])
        assert clients[2].status == 503
        release.set()
        await asyncio.gather(*tasks)

    run(main, consumer, threads=1, queue_limit=1)
    assert calls.count("http.request") == 2


# ------------------------------------------------------------- errors


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("first", [False, True])
def test_what_a_consumer_raises_is_raised_to_the_host(first: bool, runner: str) -> None:
    """L3: which answers 500, or cuts the response, and logs it once."""

    def consumer(message: Message) -> None:
        if first:
            message.reply_channel.send({"status": 200, "content": b"x", "more_content": True})
        raise LookupError("broken")

    async def main(asking: Asking) -> None:
        client = Client()
        with pytest.raises(LookupError, match="broken"):
            await asking.start(client)
        assert bool(client.sent) == first
        assert not client.is_whole

    run(main, consumer, runner)


def test_an_error_after_the_response() -> None:
    """L3: the response is whole; the host logs the error."""

    def consumer(message: Message) -> None:
        hello(message)
        raise LookupError("broken")

    async def main(asking: Asking) -> None:
        client = Client()
        with pytest.raises(LookupError):
            await asking.start(client)
        assert client.is_whole

    run(main, consumer)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
def test_errors_that_would_end_the_host(error: BaseException) -> None:
    """L3: they are the consumer's, and end nothing but its call."""

    def consumer(message: Message) -> None:
        raise error

    async def coroutine(message: Message) -> None:
        raise error

    for each in (consumer, coroutine):
        with pytest.raises(AppError, match="the consumer raised") as raised:
            ask(each)
        assert raised.value.__cause__ is error


def test_an_error_of_each_call(caplog: pytest.LogCaptureFixture) -> None:
    """L3: the first is raised to the host, the second logged."""
    second = asyncio.Event()

    async def consumer(message: Message) -> None:
        if message.channel.name == "http.request":
            await second.wait()
            raise LookupError("second")
        second.set()
        raise LookupError("first")

    with pytest.raises(LookupError, match="first"):
        ask(consumer, leaves=True, path="/x")
    assert "error in the consumer at GET '/x'" in caplog.text


@pytest.mark.parametrize(
    ("error", "status", "level"),
    [
        (LayerUnavailable("no Redis"), 503, logging.WARNING),
        (RequestError("too large", 413), 413, logging.INFO),
    ],
)
def test_errors_that_have_a_status(
    error: Exception, status: int, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    """L4 W22: the client gets it, and the log a line."""

    def consumer(message: Message) -> None:
        raise error

    caplog.set_level(logging.INFO, "bridge.error")
    assert ask(consumer).status == status
    assert [record.levelno for record in caplog.records] == [level]
    assert "refused GET '/'" in caplog.text
    assert ask(consumer, method="HEAD").body == b""


def test_an_error_that_has_a_status_in_the_middle_of_a_response() -> None:
    """L4: then it is too late for it."""

    def consumer(message: Message) -> None:
        message.reply_channel.send({"status": 200, "more_content": True})
        raise LayerUnavailable("no Redis")

    with pytest.raises(LayerUnavailable):
        ask(consumer)


def test_a_host_that_refuses_what_was_sent() -> None:
    """L4: its error goes back to it, and the consumer is cancelled."""
    ended: list[Any] = []

    async def consumer(message: Message) -> None:
        hello(message)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(1)

    async def main(asking: Asking) -> None:
        client = Client()
        client.fails = ValueError("too long")
        with pytest.raises(ValueError, match="too long"):
            await asking.start(client)
        await until(lambda: ended)

    run(main, consumer)


def test_a_host_that_cancels() -> None:
    """L3: the consumer is cancelled with it, and what it sends later is dropped."""
    seen: list[Message] = []

    async def consumer(message: Message) -> AsyncIterator[Any]:
        seen.append(message)
        yield {"status": 200, "more_content": True}
        await asyncio.get_running_loop().create_future()

    async def main(asking: Asking) -> None:
        client = Client()
        task = asking.start(client)
        await until(lambda: client.sent)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        seen[0].reply_channel.send({"nonsense": 1})

    run(main, consumer)


# ------------------------------------------------------------- time


@pytest.mark.parametrize("timeout", [0.01, 0.1])
def test_no_reply_in_time(timeout: float, caplog: pytest.LogCaptureFixture) -> None:
    """L3: 503, and a line in the log; what comes later is dropped."""
    seen: list[Message] = []
    client = ask(seen.append, timeout=timeout)
    assert client.status == 503
    assert f"refused GET '/': no reply within {timeout:g} s" in caplog.text
    seen[0].reply_channel.send(OK)


def test_a_response_that_has_begun_has_time() -> None:
    """L3: the time limit is for the first reply."""

    async def consumer(message: Message) -> None:
        message.reply_channel.send({"status": 200, "more_content": True})
        await asyncio.sleep(0.1)
        message.reply_channel.send({"content": b"end"})

    assert ask(consumer, timeout=0.02).body == b"end"


def test_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """L3: 0 is no limit."""

    async def consumer(message: Message) -> None:
        await asyncio.sleep(0.1)
        hello(message)

    assert ask(consumer, timeout=0).body == b"hello"
