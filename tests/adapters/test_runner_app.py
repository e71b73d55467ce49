"""What a host's lifespan does to the runner of an app."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from bridge.adapters.runner_app import RunnerApp, cannot_start
from bridge.errors import NotOnAsyncio, Overloaded
from bridge.runners.completions import CompletionQueue
from bridge.runners.inline import InlineRunner
from bridge.types import Message, Receive, Scope, Send


class App(RunnerApp):
    """An app whose runner perhaps cannot be stopped."""

    def __init__(self, error: Exception | None = None) -> None:
        self.stopped_after: list[float | None] = []

        class Watched(InlineRunner):
            async def stop(runner, timeout: float | None = None) -> bool:
                self.stopped_after.append(timeout)
                if error is not None:
                    raise error
                return True

        self.runner = Watched()
        self._completions = CompletionQueue(asyncio.get_running_loop())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.answer_lifespan(receive, send)

    def adopt(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {}


def lifespan(error: Exception | None = None) -> list[Message]:
    """The answers to a lifespan that also says something new."""

    async def run() -> list[Message]:
        coming = [f"lifespan.{step}" for step in ("startup", "news", "shutdown")]
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": coming.pop(0)}

        async def send(message: Message) -> None:
            sent.append(message)

        app = App(error)
        app.adopt_processes(several=True)
        await app({"type": "lifespan"}, receive, send)
        assert app.stopped_after == [10]
        assert app._completions is None
        assert app.stats().busy == 0
        return sent

    return asyncio.run(run())


def test_a_runner_stops_with_the_lifespan() -> None:
    """W54: what is not known is passed over."""
    assert [message["type"] for message in lifespan()] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


def test_a_runner_that_cannot_stop() -> None:
    """W54: the host is told why."""
    failed = {"type": "lifespan.shutdown.failed", "message": "a thread hangs"}
    assert lifespan(Overloaded("a thread hangs"))[1] == failed


def test_an_app_that_cannot_start() -> None:
    """W54: the host hears it as the answer to its start; without one, as an error."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        sent.append(message)

    error = NotOnAsyncio("App")
    asyncio.run(cannot_start(error, "lifespan", receive, send))
    assert sent == [{"type": "lifespan.startup.failed", "message": str(error)}]
    with pytest.raises(NotOnAsyncio, match="App runs on asyncio"):
        asyncio.run(cannot_start(error, "http", receive, send))
