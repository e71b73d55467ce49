"""Jobs for runners, and a loop to run them on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from bridge.errors import BridgeError
from bridge.runners import Runner


class Call:
    """A `Job` that calls `function`; awaiting `done` gives what it returned, or raised."""

    queued_at: float
    waited = False
    #: Set by a test, if it is to look like a response that streams.
    streams = False

    def __init__(self, function: Callable[[], Any], peer: tuple[str, int] | None = None) -> None:
        self.function = function
        self.peer = peer
        self.loop = asyncio.get_running_loop()
        self.done: asyncio.Future[Any] = self.loop.create_future()

    def __call__(self) -> bool:
        try:
            result = self.function()
        except BaseException as error:
            self._tell(self.done.set_exception, error)
        else:
            self._tell(self.done.set_result, result)
        return True

    def on_long_wait(self) -> None:
        self.waited = True

    def refuse(self, error: BridgeError) -> None:
        self.done.set_exception(error)

    def _tell(self, setter: Callable[[Any], None], value: Any) -> None:
        self.loop.call_soon_threadsafe(setter, value)


def streaming(runner: Runner, count: int, gate: threading.Event) -> list[Call]:
    """Have `count` jobs stream until `gate` is set."""
    calls = [Call(gate.wait) for _ in range(count)]
    for call in calls:
        call.streams = True
        runner.submit(call)
    return calls


def run_with(runner: Runner, main: Callable[[Runner], Coroutine[Any, Any, None]]) -> None:
    """Run `main(runner)` on a new loop, with `runner` started before and stopped after."""

    async def run() -> None:
        runner.start(asyncio.get_running_loop())
        try:
            await main(runner)
        finally:
            assert await runner.stop(10)

    asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until `condition()`; the test's own time limit ends it."""
    while not condition():
        await asyncio.sleep(0.001)


def blocked(runner: Runner, count: int, gate: threading.Event) -> list[Call]:
    """Have `count` jobs block their threads until `gate` is set."""
    calls = [Call(gate.wait) for _ in range(count)]
    for call in calls:
        runner.submit(call)
    return calls
