"""One WebSocket of an ASGI 1 consumer, over real sockets on our server."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from queue import SimpleQueue
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from bridge.asgi1.call import Caller
from bridge.asgi1.socket_outbox import MAX_WAITING
from bridge.asgi1.websocket import (
    ConsumerSocket,
    SocketSettings,
    calls_here,
    choose_subprotocol,
    connect_content,
)
from bridge.channels import MemoryLayer
from bridge.errors import ChannelFull, IllegalMessage
from bridge.runners import make_runner
from bridge.runners.completions import CompletionQueue
from bridge.types import Message, Receive, Scope, Send
from tests.support.raw import Closed
from tests.support.serving import Served, served
from tests.support.waiting import eventually
from tests.support.websocket import TEXT, close_frame, frame, handshake

TIMEOUT = 20


class SocketApp:
    """An ASGI 3 app whose WebSockets go to an ASGI 1 consumer."""

    def __init__(self, consumer: Any, runner: str = "thread", threads: int = 8, **settings: Any):
        self.layer = MemoryLayer()
        self.caller = Caller(consumer, make_runner(runner, threads=threads, queue_limit=1))
        self.settings = SocketSettings(**settings)
        self.open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.open += 1
        loop = asyncio.get_running_loop()
        self.caller.runner.start(loop)
        self.caller.open(CompletionQueue(loop))
        calls = calls_here(self.caller, self.layer)
        try:
            await ConsumerSocket(calls, self.layer, self.settings, scope, receive, send).run()
        finally:
            self.open -= 1


class Consumer:
    """Accepts, and answers as `answers` says; `calls` gets the channel and the content of each."""

    def __init__(self, **answers: Callable[[Any], Any]) -> None:
        self.calls: SimpleQueue[tuple[str, Message]] = SimpleQueue()
        self.answers = {"connect": accept, **answers}

    def __call__(self, message: Any) -> Any:
        kind = message.channel.name.removeprefix("websocket.")
        self.calls.put((kind, dict(message.content)))
        answer = self.answers.get(kind)
        return None if answer is None else answer(message)

    def next(self) -> tuple[str, Message]:
        """The next call."""
        return self.calls.get(timeout=TIMEOUT)

    def until(self, kind: str) -> Message:
        """The content of the next call of this kind; others are passed over."""
        while True:
            found, content = self.next()
            if found == kind:
                return content


def accept(message: Any) -> None:
    message.reply_channel.send({"accept": True})


def echo(message: Any) -> None:
    content = message.content
    message.reply_channel.send({key: content[key] for key in ("text", "bytes") if key in content})


def reply(message: Any, **content: Any) -> None:
    message.reply_channel.send(content)


def replying(**content: Any) -> Callable[[Any], None]:
    return partial(reply, **content)


def open_(server: Served, path: str = "/", **settings: Any) -> ClientConnection:
    return connect(server.url(path), open_timeout=TIMEOUT, close_timeout=TIMEOUT, **settings)


def closed_with(client: ClientConnection) -> int:
    """The code of the close that comes next."""
    with pytest.raises(ConnectionClosed):
        client.recv(timeout=TIMEOUT)
    assert client.close_code is not None
    return client.close_code


def refused(server: Served) -> int:
    """The status of a handshake that is refused."""
    with pytest.raises(InvalidStatus) as caught, open_(server):
        pass
    return caught.value.response.status_code


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was logged as an error, each with its traceback."""
    caplog.set_level(logging.WARNING, "bridge.error")
    formatter = logging.Formatter()

    def told() -> list[str]:
        return [formatter.format(each) for each in caplog.records if each.levelname == "ERROR"]

    return told


# ------------------------------------------------------------- messages


def test_what_the_consumer_gets() -> None:
    """L4: connect, each message, and the disconnect, with their order, path and reply channel."""
    consumer = Consumer(receive=echo)
    with served(SocketApp(consumer), root_path="/root") as server:
        fields = {"X-Mine": "1", "X_Mine": "2"}
        with open_(server, "/root/r%C3%A9?a=%20b", additional_headers=fields) as client:
            client.send("grüße")
            assert client.recv() == "grüße"
            client.send(b"\x00\xff")
            assert client.recv() == b"\x00\xff"
            client.send("")
            assert client.recv() == ""
            port = client.local_address[1]
            client.close(4000, "bye")
        kind, content = consumer.next()
        channel = content.pop("reply_channel")
        assert (kind, channel.partition("!")[0].startswith("bridge.")) == ("connect", True)
        headers = content.pop("headers")
        assert (b"x-mine", b"1") in headers
        assert b"x_mine" not in dict(headers)
        assert content == {
            "scheme": "ws",
            "path": "/root/ré",
            "root_path": "/root",
            "query_string": b"a=%20b",
            "client": ["127.0.0.1", port],
            "server": ["127.0.0.1", server.port],
            "order": 0,
        }
        about = {"reply_channel": channel, "path": "/root/ré"}
        assert consumer.next() == ("receive", {**about, "order": 1, "text": "grüße"})
        assert consumer.next() == ("receive", {**about, "order": 2, "bytes": b"\x00\xff"})
        assert consumer.next() == ("receive", {**about, "order": 3, "text": ""})
        assert consumer.next() == ("disconnect", {**about, "order": 4, "code": 4000})
        assert consumer.calls.empty()


def test_what_the_scope_may_lack() -> None:
    """L4: a host on a Unix socket tells no addresses, and need not tell all the rest."""
    assert connect_content({"headers": []}) == {
        "scheme": "ws",
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "client": None,
        "server": None,
    }
    assert choose_subprotocol({}, ["chat"]) is None


def overlapping(kind: str, log: list[str], lock: threading.Lock) -> Any:
    """A consumer of this kind, which takes its time and notes when a call begins and ends."""

    def note(what: str) -> None:
        with lock:
            log.append(what)

    def plain(message: Any) -> None:
        note("begin")
        if message.channel.name == "websocket.receive":
            threading.Event().wait(0.001)
            echo(message)
        elif message.channel.name == "websocket.connect":
            accept(message)
        note("end")

    def generator(message: Any) -> Iterator[Message]:
        note("begin")
        if message.channel.name == "websocket.receive":
            threading.Event().wait(0.001)
            yield {"text": message["text"]}
        elif message.channel.name == "websocket.connect":
            yield {"accept": True}
        note("end")

    async def coroutine(message: Any) -> None:
        note("begin")
        if message.channel.name == "websocket.receive":
            await asyncio.sleep(0.001)
            echo(message)
        elif message.channel.name == "websocket.connect":
            accept(message)
        note("end")

    async def of_two(message: Message, channels: Any) -> None:
        note("begin")
        await asyncio.sleep(0)
        if message["channel"] == "websocket.receive":
            await channels["reply"].send({"text": message["text"]})
        elif message["channel"] == "websocket.connect":
            await channels["reply"].send({"accept": True})
        note("end")

    return {"plain": plain, "generator": generator, "coroutine": coroutine, "two": of_two}[kind]


@pytest.mark.parametrize(
    ("kind", "runner"),
    [
        *(("plain", "thread"), ("plain", "greenlet"), ("plain", "inline")),
        *(("generator", "thread"), ("generator", "inline"), ("coroutine", "thread")),
        ("two", "thread"),
    ],
)
def test_one_call_at_a_time_in_order(kind: str, runner: str) -> None:
    """L4 L2: whatever the consumer is, the next call begins when the one before has ended."""
    log: list[str] = []
    app = SocketApp(overlapping(kind, log, threading.Lock()), runner)
    with served(app) as server:
        with open_(server) as client:
            for number in range(100):
                client.send(str(number))
            assert [client.recv() for _ in range(100)] == [str(number) for number in range(100)]
        eventually(lambda: len(log) == 2 * 102)
    assert log == ["begin", "end"] * 102


def test_sockets_do_not_wait_for_each_other() -> None:
    """L4: the order is that of one socket; a consumer that takes its time delays no other."""
    held = threading.Event()
    consumer = Consumer(receive=lambda message: held.wait(TIMEOUT) and echo(message))
    with served(SocketApp(consumer)) as server, open_(server) as slow, open_(server) as other:
        slow.send("slow")
        consumer.until("receive")
        other.send("other")
        consumer.until("receive")
        held.set()
        assert (slow.recv(), other.recv()) == ("slow", "other")


def test_more_sockets_than_threads() -> None:
    """L4: 30 sockets share one thread; all their messages come, each socket's in order."""
    consumer = Consumer(receive=echo)
    app = SocketApp(consumer)
    app.caller.runner = make_runner("thread", threads=1, queue_limit=100)
    with served(app) as server, ExitStack() as opened:
        clients = [opened.enter_context(open_(server)) for _ in range(30)]
        for number in range(10):
            for client in clients:
                client.send(str(number))
        for client in clients:
            assert [client.recv() for _ in range(10)] == [str(number) for number in range(10)]


# ------------------------------------------------------------- replies


@pytest.mark.parametrize(
    ("answer", "got", "code"),
    [
        ({"text": "hello"}, ["hello"], None),
        ({"bytes": b"hello"}, [b"hello"], None),
        ({"accept": True, "text": "hello", "close": True}, ["hello"], 1000),
        ({"text": "hello", "close": 4001}, ["hello"], 4001),
        ({"accept": True, "close": 1001}, [], 1001),
    ],
)
def test_replies_to_connect(answer: Message, got: list[str], code: int | None) -> None:
    """L4: one reply may accept, send and close, in this order; the code is told to the consumer."""
    consumer = Consumer(connect=replying(**answer))
    with served(SocketApp(consumer)) as server:
        with open_(server) as client:
            assert [client.recv() for _ in got] == got
            if code is not None:
                assert closed_with(client) == code
        assert consumer.until("disconnect")["code"] == (1000 if code is None else code)


@pytest.mark.parametrize("answer", [{"accept": False}, {"close": True}, {"close": 4001}])
def test_a_handshake_that_is_refused(answer: Message) -> None:
    """L4: it is a 403; the consumer has its disconnect, with 1006."""
    consumer = Consumer(connect=replying(**answer))
    with served(SocketApp(consumer)) as server:
        assert refused(server) == 403
        content = consumer.until("disconnect")
        assert content.pop("reply_channel").startswith("bridge.")
        assert content == {"path": "/", "order": 1, "code": 1006}


def test_a_reply_from_a_thread_after_the_call() -> None:
    """L3 L4: the consumer has returned, and its thread accepts, sends and closes."""
    threads: list[threading.Thread] = []

    def later(channel: Any) -> None:
        channel.send({"accept": True})
        for number in range(100):
            channel.send({"text": str(number)})
        channel.send({"close": 4002})

    def start(message: Any) -> None:
        threads.append(threading.Thread(target=later, args=(message.reply_channel,)))
        threads[0].start()

    consumer = Consumer(connect=start)
    with served(SocketApp(consumer)) as server, open_(server) as client:
        assert [client.recv() for _ in range(100)] == [str(number) for number in range(100)]
        assert closed_with(client) == 4002
        assert consumer.until("disconnect")["code"] == 4002
        threads[0].join()


def test_groups() -> None:
    """L4 L6: what is sent to a group comes to its sockets; one that has left gets nothing."""

    def join(message: Any) -> None:
        message.channel_layer.group_add("all", message.reply_channel)
        accept(message)

    def say(message: Any) -> None:
        message.channel_layer.send_group("all", {"text": message["text"]})

    def leave(message: Any) -> None:
        message.channel_layer.group_discard("all", message.reply_channel)

    consumer = Consumer(connect=join, receive=say, disconnect=leave)
    app = SocketApp(consumer)
    with served(app) as server, ExitStack() as opened:
        first, second, third = (opened.enter_context(open_(server)) for _ in range(3))
        first.send("one")
        assert [client.recv() for client in (first, second, third)] == ["one"] * 3
        second.close()
        consumer.until("disconnect")
        third.send("two")
        assert (first.recv(), third.recv()) == ("two", "two")
        app.layer.send_group("all", {"text": "three", "close": True})
        assert (first.recv(), third.recv()) == ("three", "three")
        assert closed_with(first) == closed_with(third) == 1000
        eventually(lambda: not [*app.layer.group_channels("all")])
        eventually(lambda: app.open == 0)


def test_a_reply_to_a_client_that_has_gone_is_dropped() -> None:
    """L3 L4: in the disconnect and ever after nobody gets an error."""
    consumer = Consumer(disconnect=replying(text="too late"))
    app = SocketApp(consumer)
    with served(app) as server:
        with open_(server):
            pass
        channel = consumer.until("disconnect")["reply_channel"]
        eventually(lambda: app.open == 0)
        channel.send({"text": "too late"})
        app.layer.send(channel.name, {"text": "too late"})
        assert app.layer.receive([channel.name.partition("!")[0] + "!"]) == (None, None)


@pytest.mark.parametrize("offered", [["b", "a"], ["x"], None])
def test_subprotocols(offered: list[str] | None) -> None:
    """L4: the first of the client's that is supported; none if none is."""
    app = SocketApp(Consumer(), subprotocols=("a", "b"))
    with served(app) as server, open_(server, subprotocols=offered) as client:
        assert client.subprotocol == ("b" if offered == ["b", "a"] else None)


# ------------------------------------------------------------- what goes wrong


def fails(message: Any) -> None:
    raise ZeroDivisionError("on purpose")


def test_a_consumer_that_raises_at_the_handshake(errors: Callable[[], list[str]]) -> None:
    """L4: it is a 403, is logged once, and the consumer has its disconnect."""
    consumer = Consumer(connect=fails)
    app = SocketApp(consumer)
    with served(app) as server:
        assert refused(server) == 403
        assert consumer.until("disconnect")["code"] == 1006
        eventually(lambda: app.open == 0)
    (told,) = errors()
    assert "on purpose" in told


def test_a_consumer_that_raises_later(errors: Callable[[], list[str]]) -> None:
    """L4: the socket is closed with 1011 after what it has sent; nothing more is received."""

    def echo_and_fail(message: Any) -> None:
        echo(message)
        fails(message)

    consumer = Consumer(receive=echo_and_fail)
    with served(SocketApp(consumer)) as server:
        with open_(server) as client:
            client.send("x")
            client.send("y")
            assert client.recv() == "x"
            assert closed_with(client) == 1011
        assert consumer.until("disconnect")["code"] == 1011
    (told,) = errors()
    assert "on purpose" in told


def test_a_consumer_that_raises_at_the_end(errors: Callable[[], list[str]]) -> None:
    """L4: that is logged; and if it has raised before, both are."""
    with served(app := SocketApp(Consumer(disconnect=fails))) as server:
        with open_(server):
            pass
        eventually(lambda: app.open == 0)
    (told,) = errors()
    assert told.count("ZeroDivisionError: on purpose") == 1


def test_a_consumer_that_raises_after_its_close(errors: Callable[[], list[str]]) -> None:
    """L4: what it has sent is sent, with its own code; the error is logged."""

    def close_and_fail(message: Any) -> None:
        reply(message, text="bye", close=4003)
        fails(message)

    consumer = Consumer(receive=close_and_fail)
    with served(SocketApp(consumer)) as server, open_(server) as client:
        client.send("x")
        assert client.recv() == "bye"
        assert closed_with(client) == 4003
        assert consumer.until("disconnect")["code"] == 4003
    assert len(errors()) == 1


@pytest.mark.parametrize(
    "wrong",
    [{"what": 1}, {"text": "x", "bytes": b"x"}, {"text": 5}, {"close": 1005}, {"status": 200}],
)
def test_a_wrong_reply_is_the_consumers_error(wrong: Message) -> None:
    """L4 L13: it raises where it is sent, and does nothing; the consumer may go on."""
    raised: SimpleQueue[Exception] = SimpleQueue()

    def try_(message: Any) -> None:
        try:
            reply(message, **wrong)
        except IllegalMessage as error:
            raised.put(error)
        echo(message)

    with served(SocketApp(Consumer(receive=try_))) as server, open_(server) as client:
        client.send("x")
        assert client.recv() == "x"
        assert str(raised.get(timeout=TIMEOUT))


def test_the_code_of_a_close_is_an_int() -> None:
    """L4: whatever the host has for it: a message holds no subclass, which a layer may refuse."""
    consumer = Consumer()
    with served(SocketApp(consumer)) as server:
        with open_(server) as client:
            client.close(1001)
        assert type(consumer.until("disconnect")["code"]) is int


@pytest.mark.parametrize("call_runs", [False, True])
def test_a_handshake_without_an_answer(call_runs: bool, caplog: pytest.LogCaptureFixture) -> None:
    """L4: it is refused with 403 in time, also while the consumer is still called."""
    held = threading.Event()
    connect_ = (lambda _: held.wait(TIMEOUT)) if call_runs else (lambda _: None)
    consumer = Consumer(connect=connect_)
    with served(SocketApp(consumer, connect_timeout=0.1)) as server:
        assert refused(server) == 403
        held.set()
        assert consumer.until("disconnect")["code"] == 1006
    assert "the consumer has not accepted it within 0.1 s" in caplog.text


def test_a_handshake_that_is_answered_late_enough() -> None:
    """L4: the limit ends with the answer; without one it waits for any time."""
    for timeout in (0.1, 0):
        consumer = Consumer(receive=echo)
        app = SocketApp(consumer, connect_timeout=timeout)
        with served(app) as server, open_(server) as client:
            threading.Event().wait(0.2)
            client.send("x")
            assert client.recv() == "x"


# ------------------------------------------------------------- clients that leave


@pytest.mark.parametrize("way", ["close", "reset", "1001"])
def test_a_client_that_leaves(way: str) -> None:
    """L4: its messages first, then its code; 1006 if it vanished."""
    held = threading.Event()
    consumer = Consumer(receive=lambda message: held.wait(TIMEOUT) and echo(message))
    with served(SocketApp(consumer)) as server:
        client = server.open()
        client.say(*(frame(TEXT, b"%d" % number) for number in range(10)))
        assert consumer.until("receive")["text"] == "0"
        if way == "1001":
            client.say(close_frame(1001))
        if way == "reset":
            client.reset()
        else:
            client.end_sending()
        held.set()
        for number in range(1, 10):
            kind, content = consumer.next()
            if kind == "disconnect":  # a reset may take along what was not read
                assert way == "reset"
                break
            assert content["text"] == str(number)
        else:
            kind, content = consumer.next()
        assert (kind, content["code"]) == ("disconnect", 1001 if way == "1001" else 1006)
        client.sock.close()


def test_a_client_that_leaves_before_the_answer() -> None:
    """L4: the consumer is told when its call has ended; its answer is dropped."""
    held = threading.Event()
    consumer = Consumer(connect=lambda message: held.wait(TIMEOUT) and accept(message))
    with served(SocketApp(consumer)) as server:
        client = server.connect()
        client.send(handshake())
        assert consumer.next()[0] == "connect"
        client.reset()
        held.set()
        assert consumer.next()[0] == "disconnect"


def test_a_client_that_breaks_the_rules() -> None:
    """L4: what the host closes for is told as its code: 1002 for a frame that is none."""
    consumer = Consumer()
    with served(SocketApp(consumer)) as server:
        client = server.open()
        client.say(frame(TEXT, b"x", mask=None))
        assert client.read_close_frame()[0] == 1002
        assert consumer.until("disconnect")["code"] == 1002
        client.sock.close()


# ------------------------------------------------------------- slow ones


def test_a_consumer_that_is_slow_slows_its_client() -> None:
    """L4: its messages wait in the socket; all of them come when it goes on."""
    held = threading.Event()
    size, count = 60_000, 2_000
    consumer = Consumer(receive=lambda _: held.wait(TIMEOUT))
    with served(SocketApp(consumer)) as server:
        client = server.open()
        message = frame(TEXT, b"x" * size)
        sent = 0
        client.sock.settimeout(0.5)
        rest = b""
        try:
            while sent < count:
                done = 0
                while done < len(message):
                    done += client.sock.send(message[done:])
                sent += 1
        except TimeoutError:
            rest = message[done:]
        assert sent < count
        held.set()
        client.sock.settimeout(TIMEOUT)
        client.send(rest)
        client.say(close_frame(1000))
        assert consumer.next()[0] == "connect"
        for order in range(1, sent + 2):
            kind, content = consumer.next()
            assert (kind, content["order"], len(content["text"])) == ("receive", order, size)
        assert consumer.next()[0] == "disconnect"
        client.sock.close()


@pytest.mark.parametrize("closes", [False, True])
def test_a_client_that_takes_nothing(closes: bool, caplog: pytest.LogCaptureFixture) -> None:
    """L4: beyond 1 MiB its sender gets `ChannelFull`; if it stays so the socket is closed, 1013."""
    found: SimpleQueue[int] = SimpleQueue()

    def flood(message: Any) -> None:
        sent = full = 0
        while full < 20 or (closes and not message.reply_channel.client.is_gone):
            try:
                reply(message, text="x" * 10_000)
                sent, full = sent + 1, 0
            except ChannelFull:  # the system's buffers may take some of it yet
                full += 1
                threading.Event().wait(0.01)
        found.put(sent)

    consumer = Consumer(receive=flood)
    app = SocketApp(consumer, stall_timeout=0.5 if closes else 0)
    with served(app) as server:
        client = server.open()
        client.text("go")
        sent = found.get(timeout=TIMEOUT)
        assert sent * 10_000 >= MAX_WAITING - 20_000
        if closes:
            assert consumer.until("disconnect")["code"] == 1013
            assert "its client has taken nothing for 0.5 s" in caplog.text
        else:
            for _ in range(sent):
                assert client.read_text() == "x" * 10_000
            client.say(close_frame(1000))
            assert consumer.until("disconnect")["code"] == 1000
        client.sock.close()


def test_a_client_that_takes_something_stays() -> None:
    """L4: a full outbox alone is no reason to close, as long as the client takes some of it."""
    full: SimpleQueue[None] = SimpleQueue()

    def flood(message: Any) -> None:
        for _ in range(5):
            try:
                while True:
                    reply(message, text="x" * 50_000)
            except ChannelFull:
                full.put(None)
                threading.Event().wait(0.2)
        reply(message, close=True)

    consumer = Consumer(receive=flood)
    with served(SocketApp(consumer, stall_timeout=0.3)) as server, open_(server) as client:
        client.send("go")
        count = sum(1 for _ in client)
        assert (client.close_code, full.qsize()) == (1000, 5)
        assert count > 20


# ------------------------------------------------------------- the server stops


def test_a_server_that_stops() -> None:
    """L4: the socket is closed with 1012; the consumer has its disconnect, with that code."""
    consumer = Consumer(receive=echo)
    with served(SocketApp(consumer)) as server:
        client = server.open()
        client.text("x")
        assert client.read_text() == "x"
        server.ask_to_stop()
        assert client.read_close_frame()[0] == 1012
        client.say(close_frame(1012))
        assert consumer.until("disconnect")["code"] == 1012
    client.sock.close()


def test_a_server_that_cuts() -> None:
    """L4: a call that runs too long is cancelled, and the disconnect comes after its end."""
    steps: SimpleQueue[str] = SimpleQueue()

    async def consumer(message: Any) -> None:
        kind = message.channel.name
        steps.put(kind)
        if kind == "websocket.connect":
            accept(message)
        elif kind == "websocket.receive":
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                steps.put("cancelled")

    with served(SocketApp(consumer), timeout_graceful_shutdown=0.1) as server:
        client = server.open()
        client.text("x")
        assert [steps.get(timeout=TIMEOUT) for _ in range(2)] == [
            *("websocket.connect", "websocket.receive")
        ]
        server.ask_to_stop()
        assert steps.get(timeout=TIMEOUT) == "cancelled"
        assert steps.get(timeout=TIMEOUT) == "websocket.disconnect"
        client.sock.close()


def test_a_server_that_cuts_while_nothing_runs() -> None:
    """L4: a handshake without an answer is cut; the consumer has its disconnect."""
    consumer = Consumer(connect=lambda _: None)
    with served(SocketApp(consumer), timeout_graceful_shutdown=0.1) as server:
        client = server.connect()
        client.send(handshake())
        assert consumer.next()[0] == "connect"
        server.ask_to_stop()
        assert consumer.until("disconnect")["order"] == 1
        with pytest.raises((Closed, ConnectionError)):
            client.response()
        client.sock.close()


# ------------------------------------------------------------- a server without a thread


def test_no_thread_for_the_consumer(caplog: pytest.LogCaptureFixture) -> None:
    """L4: a socket that finds the queue of the threads full is refused or closed with 1013."""
    held = threading.Event()
    consumer = Consumer(receive=lambda _: held.wait(TIMEOUT))
    app = SocketApp(consumer, threads=1)
    with served(app) as server:
        first, second, third = server.open(), server.open(), server.open()
        first.text("runs")
        eventually(lambda: consumer.calls.qsize() == 4)
        second.text("waits")
        eventually(lambda: len(app.caller.runner.queue) == 1)
        third.text("finds no place")
        assert third.read_close_frame()[0] == 1013
        fourth = server.connect()
        assert fourth.open_handshake().status == 403
        held.set()
        for client in (first, second, third, fourth):
            client.sock.close()
        eventually(lambda: app.open == 0)
    assert "closed the WebSocket at '/'" in caplog.text
    assert "Traceback" not in caplog.text


# ------------------------------------------------------------- other hosts, in process


class FakeHost:
    """An ASGI host with these events; `sent` is what it got, which may raise."""

    def __init__(self, *events: Message, raises: Exception | None = None) -> None:
        self.events: asyncio.Queue[Message] = asyncio.Queue()
        for event in ({"type": "websocket.connect"}, *events):
            self.events.put_nowait(event)
        self.sent: list[Message] = []
        self.raises = raises

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if self.raises is not None and message["type"] == "websocket.send":
            raise self.raises

    def run(self, app: SocketApp) -> None:
        async def main() -> None:
            async with asyncio.timeout(TIMEOUT):
                scope = {"type": "websocket", "path": "/", "headers": []}
                await app(scope, self.events.get, self.send)

        asyncio.run(main())


def receive(text: str) -> Message:
    return {"type": "websocket.receive", "bytes": None, "text": text}


def kinds(consumer: Consumer) -> list[str]:
    """The calls that there were."""
    return [consumer.calls.get()[0] for _ in range(consumer.calls.qsize())]


def test_a_host_that_says_by_an_error_that_the_client_has_gone() -> None:
    """L4: OSError from its `send` is no error of the consumer, which gets all that had come."""
    consumer = Consumer(receive=echo)
    gone = {"type": "websocket.disconnect", "code": None}
    host = FakeHost(receive("a"), receive("b"), gone, raises=OSError("gone"))
    host.run(SocketApp(consumer, "inline"))
    assert kinds(consumer) == ["connect", "receive", "receive", "disconnect"]
    assert len(host.sent) == 2  # the accept, and the one that failed


@pytest.mark.parametrize("runner", ["inline", "greenlet"])
def test_what_came_just_before_the_end_is_answered(runner: str) -> None:
    """L4 S20: its answer leaves before the consumer is told of the end, if the host takes it."""
    host = FakeHost(receive("a"), receive("b"), {"type": "websocket.disconnect", "code": 1000})
    host.run(SocketApp(Consumer(receive=echo), runner))
    assert [message.get("text") for message in host.sent] == [None, "a", "b"]


def test_a_host_that_fails() -> None:
    """L4: another error from its `send` comes back to it; the consumer has its disconnect."""
    consumer = Consumer(receive=echo)
    host = FakeHost(receive("a"), raises=RuntimeError("the host's own"))
    with pytest.raises(RuntimeError, match="the host's own"):
        host.run(SocketApp(consumer))
    assert kinds(consumer) == ["connect", "receive", "disconnect"]


def test_a_host_whose_client_left_at_once() -> None:
    """L4: a first event that is no connect calls nobody."""
    consumer = Consumer()
    host = FakeHost()
    host.events = asyncio.Queue()
    host.events.put_nowait({"type": "websocket.disconnect", "code": 1006})
    host.run(SocketApp(consumer))
    assert kinds(consumer) == []


def test_a_consumer_that_cancels_itself() -> None:
    """L4: that is an error like any other, and does not look like a host that cancels."""

    async def consumer(message: Any) -> None:
        if message.channel.name == "websocket.connect":
            raise asyncio.CancelledError

    host = FakeHost()
    with pytest.raises(Exception, match="the consumer was cancelled, by itself"):
        host.run(SocketApp(consumer))
    assert [message["type"] for message in host.sent] == ["websocket.close"]


@pytest.mark.parametrize("ends", ["in time", "never", "with an error"])
def test_a_host_that_waits_for_a_client_that_takes_nothing(ends: str) -> None:
    """L4: it gets its close, and a time for it."""
    consumer = Consumer(receive=lambda message: flood_until_full(message))
    closing: list[Message] = []

    class Stuck(FakeHost):
        async def send(self, message: Message) -> None:
            if message["type"] == "websocket.send":
                await asyncio.Event().wait()
            if message["type"] == "websocket.close":
                closing.append(message)
                if ends == "never":
                    await asyncio.Event().wait()
                if ends == "with an error":
                    raise OSError("gone")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bridge.asgi1.websocket.CLOSE_TIMEOUT", 0.1)
        Stuck(receive("go")).run(SocketApp(consumer, stall_timeout=0.1))
    assert closing == [{"type": "websocket.close", "code": 1013}]
    assert kinds(consumer) == ["connect", "receive", "disconnect"]


def test_a_client_that_has_gone_is_not_called_slow(caplog: pytest.LogCaptureFixture) -> None:
    """L4: though much had waited for it, and the consumer goes on for longer than the limit."""
    full, accepted = asyncio.Event(), asyncio.Event()

    class Leaving(FakeHost):
        async def send(self, message: Message) -> None:
            accepted.set()
            if message["type"] == "websocket.send":
                await full.wait()
                raise OSError("gone")

    async def consumer(message: Any) -> None:
        calls.append(message.channel.name)
        if message.channel.name == "websocket.connect":
            accept(message)
            await accepted.wait()
        elif message.channel.name == "websocket.receive":
            await asyncio.sleep(0)
            flood_until_full(message)
            full.set()
            await asyncio.sleep(0.2)  # longer than the limit

    calls: list[str] = []
    host = Leaving(receive("go"), {"type": "websocket.disconnect", "code": 1006})
    host.run(SocketApp(consumer, stall_timeout=0.05))
    assert calls == [f"websocket.{kind}" for kind in ("connect", "receive", "disconnect")]
    assert "taken nothing" not in caplog.text


def flood_until_full(message: Any) -> None:
    try:
        while True:
            reply(message, text="x" * 100_000)
    except ChannelFull:
        pass


def test_a_host_that_cancels_twice() -> None:
    """L4: a second cancellation does not wait for the call that runs, nor make another."""
    held, began = threading.Event(), threading.Event()
    calls: list[str] = []

    def consumer(message: Any) -> None:
        calls.append(message.channel.name)
        began.set()
        held.wait(TIMEOUT)

    async def main() -> None:
        host, app = FakeHost(), SocketApp(consumer)
        scope = {"type": "websocket", "path": "/", "headers": []}
        serving = asyncio.create_task(app(scope, host.events.get, host.send))
        await asyncio.to_thread(began.wait, TIMEOUT)
        serving.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not serving.done()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving

    asyncio.run(main())
    held.set()
    assert calls == ["websocket.connect"]
