"""Calls of ASGI 1 consumers in process: a client that keeps the replies, and one call's end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from bridge.asgi1.call import Caller, ConsumerCall
from bridge.asgi1.message import Message, ReplyChannel
from bridge.channels.memory import MemoryLayer
from bridge.errors import ChannelFull
from bridge.runners import Runner, make_runner
from bridge.runners.completions import CompletionQueue
from bridge.types import Message as Content

RUNNERS = ["thread", "greenlet", "inline"]


class KeepingClient:
    """A `Client` in memory: keeps replies; slow, full or gone as a test says."""

    def __init__(self) -> None:
        self.replies: list[Content] = []
        #: After how many replies it is slow, until a sender has waited; and full.
        self.slow_after = self.full_after = 1_000_000
        self.gone_after = 1_000_000
        self.waits = 0

    def reply(self, content: Content) -> None:
        if len(self.replies) >= self.full_after:
            raise ChannelFull("full")
        self.replies.append(content)

    @property
    def is_slow(self) -> bool:
        return len(self.replies) >= self.slow_after

    @property
    def is_gone(self) -> bool:
        return len(self.replies) >= self.gone_after

    async def caught_up(self) -> None:
        self.waits += 1
        await asyncio.sleep(0)
        self.slow_after = self.full_after = 1_000_000


class Owner:
    """A `CallOwner` that waits for the end of its call."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.ends = 0

    def call_ended(self, call: ConsumerCall) -> None:
        self.ends += 1
        self.ended.set()


class Calling:
    """A consumer under a runner, and the calls of it on the running loop."""

    def __init__(self, consumer: Any, runner: str | Runner = "thread", **settings: Any) -> None:
        self.layer = MemoryLayer()
        self.runner = make_runner(runner, **settings)
        self.caller = Caller(consumer, self.runner)
        self.client = KeepingClient()

    async def __aenter__(self) -> Calling:
        loop = asyncio.get_running_loop()
        self.runner.start(loop)
        self.caller.open(CompletionQueue(loop))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert await self.runner.stop(10)

    def make(self, body: Any = None, **content: Any) -> tuple[ConsumerCall, Owner]:
        """Make a call of the consumer with a message; it is not started."""
        reply = ReplyChannel(self.layer.new_reply_channel(), self.layer, self.client)
        message = Message({"reply_channel": reply, **content}, "http.request", self.layer)
        owner = Owner()
        return ConsumerCall(self.caller, message, owner, body), owner

    async def call(self, body: Any = None, **content: Any) -> ConsumerCall:
        """Call the consumer, and return when the call is over."""
        call, owner = self.make(body, **content)
        call.start()
        await owner.ended.wait()
        await asyncio.sleep(0)
        assert owner.ends == 1
        return call


def called(consumer: Any, runner: str | Runner = "thread", **content: Any) -> list[Content]:
    """Call a consumer once; returns its replies, and raises what it raised."""

    async def run() -> list[Content]:
        async with Calling(consumer, runner) as calling:
            call = await calling.call(**content)
            if call.error is not None:
                raise call.error
            return calling.client.replies

    return asyncio.run(run())


def run(
    main: Callable[[Calling], Any], consumer: Any, runner: str | Runner = "thread", **more: Any
) -> Any:
    """Run `main(calling)` on a loop of its own."""

    async def within() -> Any:
        async with Calling(consumer, runner, **more) as calling:
            return await main(calling)

    return asyncio.run(within())
