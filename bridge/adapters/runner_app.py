"""What the adapters have in common whose apps run under a runner: `WsgiToAsgi`, `from_asgi1`."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bridge.errors import BridgeError
from bridge.runners import Runner, Stats
from bridge.runners.completions import CompletionQueue
from bridge.types import Receive, Scope, Send

if TYPE_CHECKING:
    from bridge.runners.timeouts.limit import TimeLimit


class RunnerApp(abc.ABC):
    """An ASGI 3 app that calls an app of another kind under its runner.

    A server says before the start how that runs, if it was not said in Python.
    """

    #: The app itself.
    app: Any
    runner: Runner
    #: Ends its requests that take too long (R2); None: none are ended.
    limit: TimeLimit | None = None
    #: Of the loop that is served; None: none is, and the runner is not running.
    _completions: CompletionQueue | None

    @abc.abstractmethod
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""

    @abc.abstractmethod
    def adopt(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """For a server, before it starts the app: how to run it, if that was not given here.

        `values`: each of `checks.WSGI_SETTINGS`. Returns the settings given here that differ.
        """

    def adopt_processes(self, *, several: bool) -> None:
        """For a server: whether several processes serve the app, if that was not given here."""
        return

    def use_limit(self, seconds: float) -> None:
        """End requests that run for longer than `seconds` (R2); 0: none are ended."""
        if seconds:
            module = import_module("bridge.runners.timeouts.limit")  # few servers need it
            self.limit = module.TimeLimit(self.runner, seconds, repr(self))
        else:
            self.limit = None

    def name_limit(self, name: str) -> None:
        """For a server: what the log calls this app if its requests take too long."""
        if self.limit is not None:
            self.limit.mount = name

    def stats(self) -> Stats:
        """Return the runner's figures at this moment (W52)."""
        return self.runner.stats()

    async def answer_lifespan(self, receive: Receive, send: Send) -> None:
        """Answer the host's lifespan: the runner stops with it (W54)."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                self._completions = None
                try:
                    await self.runner.stop(timeout=10)
                except BridgeError as error:
                    await send({"type": "lifespan.shutdown.failed", "message": str(error)})
                else:
                    await send({"type": "lifespan.shutdown.complete"})
                return


async def cannot_start(error: BridgeError, kind: str, receive: Receive, send: Send) -> None:
    """Say so at the start, which ends with it; raise `error` for what comes without a start."""
    if kind != "lifespan":
        raise error from None
    await receive()
    await send({"type": "lifespan.startup.failed", "message": str(error)})
