"""A server in a thread of this process, on a real port.

So a test can define its app, and look at what the app was given.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bridge.loops.factory import new_event_loop
from bridge.server.config.config import Config
from bridge.server.server import Server
from tests.support.websocket import WebSocket


class Served:
    """A server that runs: where it listens, and the thread that runs it."""

    def __init__(
        self, app: Any, settings: dict[str, Any], make_loop: Callable[[], Any] = new_event_loop
    ) -> None:
        self._make_loop = make_loop
        settings = {"lifespan": "off", "access_log": False, "port": 0, **settings}
        self.server = Server(Config(app=app, **settings))
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="server")

    def start(self) -> None:
        """Run it; returns when it listens."""
        self._thread.start()
        assert self._ready.wait(20)
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=self._make_loop) as runner:
            try:
                runner.run(self._serve())
            except BaseException as error:
                self._failure = error
                self._ready.set()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await self.server.start()
        self.port = int(self.server.addresses[0][1])
        self._ready.set()
        await self._stop.wait()
        await self.server.stop()

    def ask_to_stop(self) -> None:
        """Begin to stop, as SIGTERM does."""
        try:
            self.loop.call_soon_threadsafe(self._stop.set)
        except RuntimeError:
            pass  # the loop has ended since

    def stop(self) -> None:
        """Stop, and wait for the end; raises what the server has raised."""
        if self._thread.is_alive():
            self.ask_to_stop()
            self._thread.join(20)
        assert not self._thread.is_alive()
        if self._failure is not None:
            raise self._failure

    def call(self, function: Any) -> Any:
        """What `function` gives on the server's loop."""

        async def called() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(called(), self.loop).result(20)

    def open(self, target: str = "/", *fields: str) -> WebSocket:
        """A WebSocket that is open."""
        client = self.connect()
        response = client.open_handshake(target, *fields)
        assert response.status == 101, response
        return client

    def connect(self) -> WebSocket:
        """A connection on which nothing was said yet."""
        return WebSocket(socket.create_connection(("127.0.0.1", self.port), timeout=20))

    def url(self, path: str = "/", scheme: str = "ws") -> str:
        """The URL of `path`."""
        return f"{scheme}://127.0.0.1:{self.port}{path}"


@contextmanager
def served(app: Any, **settings: Any) -> Iterator[Served]:
    """A server of `app` for a block; `settings` are those of `Config`."""
    running = Served(app, settings)
    running.start()
    try:
        yield running
    finally:
        running.stop()
