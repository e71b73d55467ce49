"""The channel layer in the process."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
from typing import Any

import pytest

from bridge.channels import MemoryLayer
from bridge.errors import ChannelFull, MessageTooLarge
from bridge.types import Message
from tests.support.waiting import eventually


def drain(layer: MemoryLayer, *channels: str) -> list[Any]:
    """Everything that waits in these channels."""
    found = []
    while (received := layer.receive(channels))[0] is not None:
        found.append(received)
    return found


class TestMessages:
    def test_each_goes_to_one_reader(self) -> None:
        """L6: in order, once, as the reader's own."""
        layer = MemoryLayer()
        message: Message = {"n": [1]}
        layer.send("a", message)
        message["n"].append(2)
        layer.send("a", message)
        assert drain(layer, "a") == [("a", {"n": [1]}), ("a", {"n": [1, 2]})]
        assert message == {"n": [1, 2]}

    def test_the_channels_of_a_process_are_one_queue(self) -> None:
        """L6: they are read together, in order, and share their capacity."""
        layer = MemoryLayer(capacity=2)
        layer.send("a!1", {"n": 1})
        layer.send("a!2", {"n": 2})
        with pytest.raises(ChannelFull, match=r"the channel 'a!3' is full: 2 messages wait in it"):
            layer.send("a!3", {})
        assert drain(layer, "a!") == [("a!1", {"n": 1}), ("a!2", {"n": 2})]

    def test_a_busy_channel_does_not_starve_a_quiet_one(self) -> None:
        """L6: of several channels the oldest message comes first."""
        layer = MemoryLayer()
        layer.send("busy", {})
        layer.send("quiet", {})
        for _ in range(20):
            layer.send("busy", {})
        assert [channel for channel, _ in drain(layer, "busy", "quiet")].index("quiet") == 1

    def test_capacity_by_pattern(self) -> None:
        """L6: `channel_capacity` says otherwise for the channels that a pattern matches."""
        layer = MemoryLayer(capacity=1, channel_capacity={"http.*": 3})
        for _ in range(3):
            layer.send("http.request", {})
        with pytest.raises(ChannelFull, match="3 messages wait in it, the most that"):
            layer.send("http.request", {})
        layer.send("other", {})
        with pytest.raises(ChannelFull):
            layer.send("other", {})

    def test_what_cannot_be_sent(self) -> None:
        """L6, L13: nothing of it is queued."""
        layer = MemoryLayer(max_message_size=1000)
        with pytest.raises(MessageTooLarge, match="more than 1000 bytes"):
            layer.send("a", {"content": b"x" * 1000})
        with pytest.raises(TypeError, match="cannot be sent"):
            layer.send("a", {"content": object()})
        with pytest.raises(AssertionError, match="a message is a dict"):
            layer.send("a", [])  # type: ignore[arg-type]
        for name in ("a b", "a!", ["a"], None):
            with pytest.raises(TypeError):
                layer.send(name, {})  # type: ignore[arg-type]
        assert drain(layer, "a", "a!") == []

    def test_expiry(self, caplog: pytest.LogCaptureFixture) -> None:
        """L6: what nobody reads in time is dropped, logged, and leaves its groups."""
        layer = MemoryLayer(expiry=0.01)
        layer.group_add("g", "a!1")
        layer.group_add("g", "b")
        layer.send("a!1", {})
        eventually(lambda: layer.channel_statistics("a!1")["messages_pending"] == 0)
        assert layer.receive(["a!"]) == (None, None)
        assert layer.group_channels("g") == ["b"]
        assert caplog.messages == [
            "messages to 1 channel were dropped, because nothing read them within 0.01 s: a!1"
        ]

    def test_flush(self) -> None:
        """L6: all messages and groups are gone; what is attached stays."""
        layer = MemoryLayer()
        got: list[Message] = []
        channel = layer.new_reply_channel()
        layer.attach(channel, got.append)
        layer.send("a", {})
        layer.group_add("g", "a")
        layer.flush()
        assert drain(layer, "a") == layer.group_channels("g") == []
        layer.send(channel, {"n": 1})
        assert got == [{"n": 1}]


class TestWaiting:
    def test_a_thread(self) -> None:
        """L6: with ``block=True`` a thread waits for a message, of any of its channels."""
        layer, got = MemoryLayer(), []
        thread = threading.Thread(target=lambda: got.append(layer.receive(["a", "b!"], block=True)))
        thread.start()
        eventually(lambda: layer._contents.get()._lines)
        layer.send("b!1", {"n": 1})
        thread.join(60)
        assert got == [("b!1", {"n": 1})]
        assert not layer._contents.get()._lines

    def test_nothing_comes(self) -> None:
        """L6: after `block_timeout` there is nothing, in threads and in tasks."""
        layer = MemoryLayer()
        layer.block_timeout = 0.01
        assert layer.receive(["a"], block=True) == (None, None)
        assert asyncio.run(layer.receive_async(["a"])) == (None, None)
        assert not layer._contents.get()._lines

    def test_what_is_there_needs_no_wait(self) -> None:
        """L6: a message that is there is returned at once, by every method."""
        layer = MemoryLayer()
        for number in range(2):
            layer.send("a", {"n": number})
        assert layer.receive(["a"], block=True) == ("a", {"n": 0})
        assert asyncio.run(layer.receive_async(["a"])) == ("a", {"n": 1})

    def test_many_tasks_of_one_channel(self) -> None:
        """L6: each message is for one of the tasks that wait, in their order."""

        async def main() -> None:
            layer = MemoryLayer()
            tasks = [asyncio.create_task(layer.receive_async(["a", "b"])) for _ in range(4)]
            await asyncio.sleep(0)
            for number in range(4):
                layer.send("ab"[number % 2], {"n": number})
            got = await asyncio.gather(*tasks)
            assert got == [("ab"[number % 2], {"n": number}) for number in range(4)]

        asyncio.run(main())

    def test_a_cancelled_task_loses_nothing(self) -> None:
        """L6: what came for it goes to the next in line, or waits."""

        async def main() -> None:
            layer = MemoryLayer()
            first, second = (asyncio.create_task(layer.receive_async(["a"])) for _ in range(2))
            await asyncio.sleep(0)
            layer.send("a", {"n": 1})
            first.cancel()
            assert await second == ("a", {"n": 1})
            assert first.cancelled()
            third = asyncio.create_task(layer.receive_async(["a"]))
            await asyncio.sleep(0)
            layer.send("a", {"n": 2})
            third.cancel()
            with pytest.raises(asyncio.CancelledError):
                await third
            assert layer.receive(["a"]) == ("a", {"n": 2})

        asyncio.run(main())

    def test_a_busy_reader_does_not_stop_the_loop(self) -> None:
        """L6: where messages come as fast as a task reads them, other tasks have their turns."""

        async def main() -> None:
            layer, turns = MemoryLayer(), 0

            async def other() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            task = asyncio.create_task(other())
            for number in range(1000):
                layer.send("a", {"n": number})
                assert await layer.receive_async(["a"]) == ("a", {"n": number})
            assert turns >= 10
            task.cancel()

        asyncio.run(main())

    def test_another_was_quicker(self) -> None:
        """L6: who is woken and finds nothing waits on."""

        async def main() -> None:
            layer = MemoryLayer()
            task = asyncio.create_task(layer.receive_async(["a"]))
            await asyncio.sleep(0)
            layer.send("a", {"n": 1})
            assert layer.receive(["a"]) == ("a", {"n": 1})
            for _ in range(3):
                await asyncio.sleep(0)
            assert not task.done()
            layer.send("a", {"n": 2})
            assert await task == ("a", {"n": 2})

        asyncio.run(main())

    def test_a_loop_that_has_ended_is_passed_over(self) -> None:
        """L6: a task of a closed loop does not swallow the news of others."""
        layer = MemoryLayer()
        loop = asyncio.new_event_loop()
        task = loop.create_task(layer.receive_async(["a"]))
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

        async def main() -> None:
            waiting = asyncio.create_task(layer.receive_async(["a"]))
            await asyncio.sleep(0)
            layer.send("a", {"n": 1})
            assert await waiting == ("a", {"n": 1})

        asyncio.run(main())
        layer.send("a", {"n": 2})
        assert layer.receive(["a"]) == ("a", {"n": 2})
        del task

    def test_from_all_sides(self) -> None:
        """L6: threads and tasks of several loops send and receive at once; each message once."""
        layer = MemoryLayer(capacity=100_000)
        got: list[int] = []
        senders, readers, each = 3, 4, 400

        def read() -> None:
            while (received := layer.receive(["work"], block=True))[1] != {"n": -1}:
                got.append(received[1]["n"])  # type: ignore[index]

        async def read_async() -> None:
            while (received := await layer.receive_async(["work"]))[1] != {"n": -1}:
                got.append(received[1]["n"])  # type: ignore[index]

        def send(start: int) -> None:
            for number in range(start, start + each):
                layer.send("work", {"n": number})

        targets = [read, read, lambda: asyncio.run(read_async()), lambda: asyncio.run(read_async())]
        threads = [threading.Thread(target=target) for target in targets]
        sending = [threading.Thread(target=send, args=[n * each]) for n in range(senders)]
        for thread in threads + sending:
            thread.start()
        for thread in sending:
            thread.join(60)
        for _ in range(readers):
            layer.send("work", {"n": -1})
        for thread in threads:
            thread.join(60)
        assert sorted(got) == list(range(senders * each))
        assert layer.global_statistics()["messages_count"] == senders * each + readers


class TestGroups:
    def test_all_members_get_it(self) -> None:
        """L6: each has a message of its own, of one copy of the sender's."""
        layer = MemoryLayer()
        for channel in ("a", "b!1", "b!2", "c"):
            layer.group_add("g", channel)
        layer.group_discard("g", "c")
        message: Message = {"list": [1]}
        layer.send_group("g", message)
        message["list"].append(2)
        (_, first), *others = drain(layer, "a", "b!", "c")
        first["list"].append(3)
        assert sorted(channel for channel, _ in others) == ["b!1", "b!2"]
        assert [got for _, got in others] == [{"list": [1]}] * 2
        layer.send_group("nobody", {})

    def test_full_channels_are_counted_and_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        """L6: `send_group` never raises `ChannelFull`, and the others get the message."""
        layer = MemoryLayer(capacity=1)
        for channel in ("a", "b", "c"):
            layer.group_add("g", channel)
        layer.send("b", {})
        layer.send_group("g", {"n": 1})
        assert sorted(drain(layer, "a", "c")) == [("a", {"n": 1}), ("c", {"n": 1})]
        assert layer.channel_statistics("b")["channel_full_count"] == 1
        assert caplog.messages == [
            "a message to the group g did not reach 1 channel whose capacity is used up: b"
        ]

    def test_wrong_names_and_messages(self) -> None:
        """L6, L13: they are errors of whoever calls."""
        layer = MemoryLayer()
        layer.group_add("g", "a")
        for call in (layer.group_add, layer.group_discard):
            with pytest.raises(TypeError, match="name of a group"):
                call("g!", "a")
            with pytest.raises(TypeError, match=r"name of a channel|has no name after"):
                call("g", "a!")
        with pytest.raises(TypeError, match="name of a group"):
            layer.group_channels("g?")
        with pytest.raises(TypeError, match="name of a group"):
            layer.send_group("g?", {})
        with pytest.raises(AssertionError, match="a message is a dict"):
            layer.send_group("g", "text")  # type: ignore[arg-type]
        with pytest.raises(MessageTooLarge):
            layer.send_group("g", {"content": b"x" * layer.max_message_size})
        assert drain(layer, "a") == []

    def test_a_member_that_fails(self, caplog: pytest.LogCaptureFixture) -> None:
        """L6: an error of one client does not keep the message from the others."""
        layer = MemoryLayer()
        got: list[Message] = []

        def fail(message: Message) -> None:
            raise ValueError("a reply in the wrong order")

        for deliver in (fail, got.append):
            channel = layer.new_reply_channel()
            layer.attach(channel, deliver)
            layer.group_add("g", channel)
        layer.send_group("g", {"n": 1})
        assert got == [{"n": 1}]
        assert "a reply in the wrong order" in caplog.text


class TestReplyChannels:
    def test_attached(self) -> None:
        """L6: a client of this process gets its messages at once, whoever sends them."""
        layer = MemoryLayer()
        got: list[tuple[Message, int]] = []
        channel = layer.new_reply_channel()
        layer.attach(channel, lambda message: got.append((message, threading.get_ident())))
        layer.send(channel, {"n": 1})
        thread = threading.Thread(target=layer.send, args=[channel, {"n": 2}])
        thread.start()
        thread.join()
        assert [message for message, _ in got] == [{"n": 1}, {"n": 2}]
        assert got[0][1] == threading.get_ident() != got[1][1]
        with pytest.raises(AssertionError, match="a message is a dict"):
            layer.send(channel, None)  # type: ignore[arg-type]

    def test_detached(self) -> None:
        """L6: a message to a client that has gone is dropped, and the client leaves its groups."""
        layer = MemoryLayer()
        got: list[Message] = []
        channel = layer.new_reply_channel()
        layer.attach(channel, got.append)
        layer.group_add("g", channel)
        assert layer.group_channels("g") == [channel]
        layer.detach(channel)
        layer.detach(channel)
        assert layer.group_channels("g") == []
        layer.send(channel, {"n": 1})
        layer.group_add("g", channel)  # by a consumer that does not know yet
        assert layer.group_channels("g") == []
        assert got == drain(layer, channel.partition("!")[0] + "!") == []
        assert layer.global_statistics()["messages_pending"] == 0

    def test_full(self) -> None:
        """L6: a client that takes no more is told to the sender, and counted."""
        layer = MemoryLayer()

        def deliver(message: Message) -> None:
            raise ChannelFull("the client is slow")

        channel = layer.new_reply_channel()
        layer.attach(channel, deliver)
        with pytest.raises(ChannelFull, match="the client is slow"):
            layer.send(channel, {})
        layer.group_add("g", channel)
        layer.send_group("g", {})
        assert layer.channel_statistics(channel)["channel_full_count"] == 2


def test_statistics() -> None:
    """L6: the figures of ASGI 1's extension, of one channel and of all."""
    layer = MemoryLayer(capacity=2)
    channel = layer.new_reply_channel()
    layer.attach(channel, lambda message: None)
    layer.send(channel, {})
    layer.send("a", {})
    layer.send("a", {})
    with pytest.raises(ChannelFull):
        layer.send("a", {})
    layer.send("b!1", {})
    layer.receive(["b!"])
    figures = layer.channel_statistics("a")
    assert figures.keys() == {
        "messages_count",
        "messages_count_per_second",
        "messages_pending",
        "messages_max_age",
        "channel_full_count",
        "channel_full_count_per_second",
    }
    assert (figures["messages_count"], figures["messages_pending"]) == (2, 2)
    assert figures["channel_full_count"] == 1
    assert 0 <= figures["messages_max_age"] < 60
    assert layer.channel_statistics("b!2")["messages_count"] == 1
    assert layer.channel_statistics(channel)["messages_count"] == 1
    assert layer.channel_statistics("none")["messages_max_age"] == 0
    total = layer.global_statistics()
    assert (total["messages_count"], total["messages_pending"]) == (4, 2)
    assert total["channel_full_count"] == 1
    eventually(lambda: layer.global_statistics()["messages_max_age"] > figures["messages_max_age"])
    with pytest.raises(TypeError, match="name of a channel"):
        layer.channel_statistics("a b")


def test_statistics_leave_out_what_has_expired(caplog: pytest.LogCaptureFixture) -> None:
    """L6: a message that nobody can get any more does not wait."""
    layer = MemoryLayer(expiry=0.01)
    layer.send("a", {})
    eventually(lambda: layer.global_statistics()["messages_pending"] == 0)
    assert "nothing read them within" in caplog.text


def test_a_log_handler_may_send() -> None:
    """L6: what the layer logs can go through the layer: it holds no lock while it logs."""
    layer = MemoryLayer(capacity=1)

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            layer.send("log", {"line": record.getMessage()})

    handler = Handler()
    logging.getLogger("bridge.error").addHandler(handler)
    try:
        layer.group_add("g", "a")
        layer.send_group("g", {})
        layer.send_group("g", {})
    finally:
        logging.getLogger("bridge.error").removeHandler(handler)
    [(_, message)] = drain(layer, "log")
    assert message["line"].startswith("a message to the group g did not reach 1 channel")


def _in_child(layer: MemoryLayer, channel: str, writer: int) -> None:
    layer.send("a", {"from": "child"})
    seen = [
        drain(layer, "a"),
        layer.group_channels("g"),
        layer.channel_statistics("a")["messages_count"],
        layer.new_reply_channel().partition("!")[0] == channel.partition("!")[0],
    ]
    os.write(writer, repr(seen).encode())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_fork() -> None:
    """L6: a child begins without its parent's messages and clients, even if a lock was held."""
    layer = MemoryLayer()
    channel = layer.new_reply_channel()
    layer.attach(channel, lambda message: None)
    layer.send("a", {"from": "parent"})
    layer.group_add("g", "a")
    reader, writer = os.pipe()
    with layer._contents.get().lock:  # as a thread of the parent may do in that moment
        child = multiprocessing.get_context("fork").Process(
            target=_in_child, args=[layer, channel, writer]
        )
        child.start()
    child.join(60)
    assert child.exitcode == 0
    os.close(writer)
    with open(reader) as pipe:
        assert pipe.read() == repr([[("a", {"from": "child"})], [], 1, False])
    assert drain(layer, "a") == [("a", {"from": "parent"})]
    assert layer.group_channels("g") == ["a"]


GEVENT = """
from gevent import monkey; monkey.patch_all()
import gevent
from bridge.channels import MemoryLayer
from bridge.loops.waiters import NativeThread

layer = MemoryLayer()
readers = [gevent.spawn(layer.receive, ["a"], True) for _ in range(3)]
gevent.sleep(0)
layer.send("a", {"n": 0})
thread = NativeThread(lambda: layer.send("a", {"n": 1}), "sender")
thread.start()
gevent.spawn(layer.send, "a", {"n": 2})
gevent.joinall(readers)
assert sorted(each.value[1]["n"] for each in readers) == [0, 1, 2]
print("good")
"""


def test_greenlets() -> None:
    """L6: under gevent greenlets wait without stopping others, and any thread sends to them."""
    done = subprocess.run([sys.executable, "-c", GEVENT], capture_output=True, timeout=60)
    assert done.stdout == b"good\n", done.stderr.decode()
