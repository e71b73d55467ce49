"""What all channel layers share."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

import bridge
from bridge.channels import MemoryLayer
from bridge.channels.base import Capacities, names_to_read
from bridge.errors import ChannelFull, ConfigError, MessageTooLarge, WaitNotPossible
from bridge.runners import make_runner
from bridge.runners.base import Job
from bridge.types import Address, Message


class TestSettings:
    def test_where_code_for_asgi_1_looks(self) -> None:
        """L6: a layer has the attributes of the specification, with its usual values."""
        layer = MemoryLayer()
        assert layer.extensions == ["groups", "flush", "statistics", "asyncio"]
        assert (layer.expiry, layer.group_expiry, layer.capacity) == (60, 86400, 100)
        assert layer.channel_capacity == {}
        assert layer.ChannelFull is bridge.ChannelFull is ChannelFull
        assert layer.MessageTooLarge is bridge.MessageTooLarge is MessageTooLarge
        layer.close()
        layer.close()

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"expiry": 0}, "expiry is 0, and must be a number above 0"),
            ({"group_expiry": "1"}, "group_expiry is '1'"),
            ({"capacity": True}, "capacity is True"),
            ({"max_message_size": -1}, "max_message_size is -1"),
            ({"channel_capacity": {"a*": 0}}, r"channel_capacity\['a\*'\] is 0"),
        ],
    )
    def test_a_wrong_one(self, settings: dict[str, Any], words: str) -> None:
        """L6: a setting that cannot be is an error at the start."""
        with pytest.raises(ConfigError, match=words):
            MemoryLayer(**settings)


class TestCapacities:
    def test_of(self) -> None:
        """L6: the first pattern that matches the queue of a channel says how many may wait."""
        capacities = Capacities(10, {"http.request": 20, "http.*": 30, "own!": 40, "x?*": 50})
        assert capacities.of("other") == 10
        assert capacities.of("http.request") == 20
        assert capacities.of("http.disconnect") == 30
        assert capacities.of("own!client") == 40
        assert capacities.of("x?1") == 50

    def test_clients(self) -> None:
        """L6: the clients of a process share a queue, which may have more."""
        client = "bridge.0123456789abcdef!7"
        assert Capacities(10).of(client, clients_factor=100) == 1000
        assert Capacities(10).of("other!7", clients_factor=100) == 10
        assert Capacities(10, {"bridge.*": 3}).of(client, clients_factor=100) == 3


@pytest.mark.parametrize("channels", ["a", b"a", None, 7])
def test_channels_are_a_list(channels: Any) -> None:
    """L6: one name instead of a list is an error, not a list of letters."""
    words = re.escape(f"channels are {channels!r}, and must be a list of names")
    with pytest.raises(TypeError, match=words):
        names_to_read(channels)


class TestReceive:
    def test_no_channels(self) -> None:
        """L6: from no channels comes nothing, at once."""
        layer = MemoryLayer()
        assert layer.receive([], block=True) == (None, None)
        assert asyncio.run(layer.receive_async([])) == (None, None)

    def test_names_are_checked(self) -> None:
        """L6: by every method that reads."""
        layer = MemoryLayer()
        for block in (False, True):
            with pytest.raises(TypeError, match="cannot be read alone"):
                layer.receive(["a!b"], block)
        with pytest.raises(TypeError, match="name of a channel"):
            asyncio.run(layer.receive_async(["a b"]))

    def test_a_coroutine_cannot_block(self) -> None:
        """L6: it would stop its loop, which is an error that says what to do."""

        async def main() -> None:
            layer = MemoryLayer()
            with pytest.raises(WaitNotPossible, match="use `await layer"):
                layer.receive(["a"], block=True)
            assert layer.receive(["a"]) == (None, None)

        asyncio.run(main())

    def test_the_old_name(self) -> None:
        """L6: `receive_many` works, with a warning."""
        layer = MemoryLayer()
        layer.send("a", {"n": 1})
        with pytest.warns(DeprecationWarning, match="receive_many is deprecated") as warned:
            assert layer.receive_many(["a"]) == ("a", {"n": 1})
        assert warned[0].filename == __file__

    def test_the_asyncio_extension(self) -> None:
        """L6: `receive_asyncio` is the specification's name, and `loop` the running loop."""

        async def main() -> None:
            layer = MemoryLayer()
            layer.send("a", {"n": 1})
            assert await layer.receive_asyncio(["a"]) == ("a", {"n": 1})
            assert layer.loop is asyncio.get_running_loop()

        asyncio.run(main())
        with pytest.raises(RuntimeError, match="no running event loop"):
            MemoryLayer().loop

    @pytest.mark.parametrize("runner", ["thread", "greenlet", "inline"])
    def test_consumers_that_are_no_coroutines_find_the_loop(self, runner: str) -> None:
        """L6: that of the server, from a thread of its pool or from the loop's own."""

        async def main() -> None:
            found = await run_under(runner, lambda: MemoryLayer().loop)
            assert found is asyncio.get_running_loop()

        asyncio.run(main())


class _Call(Job):
    """A job that calls a function, and keeps its result."""

    queued_at = 0.0
    streams = False

    def __init__(self, call: Any) -> None:
        self.call = call
        self.done = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        self.result: Any = None

    @property
    def peer(self) -> Address | None:
        return None

    def on_long_wait(self) -> None:
        """Nobody waits."""

    def __call__(self) -> bool:
        try:
            self.result = self.call()
        except Exception as error:
            self.result = error
        self.loop.call_soon_threadsafe(self.done.set)
        return True

    def refuse(self, error: Exception) -> None:
        raise error


async def run_under(runner_name: str, call: Any) -> Any:
    """Run a synchronous consumer as the bridge does; what it returns or raises."""
    runner = make_runner(runner_name)
    runner.start(asyncio.get_running_loop())
    job = _Call(call)
    runner.submit(job)
    await job.done.wait()
    await runner.stop()
    return job.result


class TestSources:
    def test_read_by_every_method(self) -> None:
        """L6: a body is read by consumers of all kinds, chunk by chunk, and never ahead."""

        async def main() -> None:
            layer, calls = MemoryLayer(), 0

            async def take() -> Message:
                nonlocal calls
                calls += 1
                await asyncio.sleep(0)
                return {"content": b"%d" % calls, "more_content": calls < 5}

            name = layer.new_channel("http.request.body?")
            source = layer.attach_source(name, take)
            first = {"content": b"1", "more_content": True}
            assert await layer.receive_async([name]) == (name, first)
            for runner in ("thread", "greenlet"):
                channel, chunk = await run_under(runner, lambda: layer.receive([name], block=True))
                assert (channel, chunk["content"]) == (name, b"%d" % calls)
            assert calls == 3
            assert layer.receive([name]) == (None, None)
            while (received := layer.receive([name]))[0] is None:
                await asyncio.sleep(0)
            assert received == (name, {"content": b"4", "more_content": True})
            assert await layer.receive_asyncio([name]) == (
                name,
                {"content": b"5", "more_content": False},
            )
            assert calls == 5
            source.close()
            layer.block_timeout = 0.01
            assert await layer.receive_async([name]) == (None, None)

        asyncio.run(main())

    def test_nothing_comes(self) -> None:
        """L6: a reader that waits gets nothing after `block_timeout`."""

        async def main() -> None:
            layer = MemoryLayer()
            layer.block_timeout = 0.01
            name = layer.new_channel("body?")
            source = layer.attach_source(name, asyncio.Event().wait)  # type: ignore[arg-type]
            assert await layer.receive_async([name]) == (None, None)
            assert await asyncio.to_thread(layer.receive, [name], True) == (None, None)
            source.close()
            await asyncio.sleep(0)

        asyncio.run(main())

    def test_the_inline_runner(self) -> None:
        """L6: a consumer that runs on the loop cannot wait for it, and is told so."""

        async def main() -> None:
            layer = MemoryLayer()

            async def take() -> Message:
                return {"content": b"one"}

            name = layer.new_channel("body?")
            source = layer.attach_source(name, take)
            error = await run_under("inline", lambda: layer.receive([name], block=True))
            assert isinstance(error, WaitNotPossible)
            assert "run the consumer in a thread" in str(error)
            while (got := layer.receive([name]))[0] is None:
                await asyncio.sleep(0)
            assert got == (name, {"content": b"one"})
            source.close()

        asyncio.run(main())

    def test_a_greenlet_waits_for_any_channel(self) -> None:
        """L6: a consumer in a greenlet lets the loop go on while it waits."""

        async def main() -> None:
            layer = MemoryLayer()
            asyncio.get_running_loop().call_soon(layer.send, "a", {"n": 1})
            received = await run_under("greenlet", lambda: layer.receive(["a"], block=True))
            assert received == ("a", {"n": 1})

        asyncio.run(main())


def test_new_channels() -> None:
    """L6: their names are new, and of the pattern."""
    layer = MemoryLayer()
    names = {layer.new_channel("test.foo?") for _ in range(100)}
    assert len(names) == 100
    for name in names:
        assert re.fullmatch(r"test\.foo\?[0-9a-f]{16}", name)
        layer.send(name, {})
    with pytest.raises(TypeError, match="must be a name that ends with"):
        layer.new_channel("test!")


def test_reply_channels() -> None:
    """L6: a reply channel is one of this process, and never the same twice."""
    layer = MemoryLayer()
    first, second = layer.new_reply_channel(), layer.new_reply_channel()
    assert first != second
    assert first.partition("!")[0] == second.partition("!")[0]
    assert not MemoryLayer().new_reply_channel().startswith(first.partition("!")[0])
