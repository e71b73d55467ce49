"""A server that takes orders and runs no workers: the control socket has a supervision to talk to.

``python -m tests.support.orders PATH`` runs one as a process of its own, until it is told to stop.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bridge.server.control.orders import OrderFailed, ServerStatus, WorkerStatus
from bridge.server.control.server import ControlServer
from bridge.server.control.usage import cpu_seconds, memory


class Supervised:
    """It has workers on paper, and does what it is told. Everything is called on its loop."""

    def __init__(self) -> None:
        self.stopped = asyncio.Event()
        self.started = time.time()
        self.wanted = 2
        self.generation = 1
        #: Set: the next reload fails with it.
        self.broken: str | None = None
        #: Reloads that nobody has ended yet; `None`: they are done at once.
        self.pending: list[asyncio.Future[str]] | None = None
        self.orders: list[str] = []

    def status(self) -> ServerStatus:
        return {
            "pid": os.getpid(),
            "version": "0.1",
            "app": "shop:app",
            "listeners": ["http://127.0.0.1:8000"],
            "started": self.started,
            "generation": self.generation,
            "wanted": self.wanted,
            "state": "serving",
            "served": 12345,
            "rate": 67.8,
        }

    def workers(self) -> list[WorkerStatus]:
        return [self._worker(slot) for slot in range(self.wanted)]

    def _worker(self, slot: int) -> WorkerStatus:
        pid = os.getpid() if slot == 0 else 1_000_000 + slot
        return {
            "slot": slot,
            "pid": pid,
            "generation": self.generation,
            "state": "serving",
            "age": time.time() - self.started,
            "served": 6000 + slot,
            "connections": 3,
            "websockets": 1,
            "busy": 2,
            "lag": 0.0012 if slot == 0 else None,
            "rss": memory(pid),
            "cpu": cpu_seconds(pid),
        }

    def reload(self) -> asyncio.Future[str]:
        self.orders.append("reload")
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if self.pending is not None:
            self.pending.append(future)
        elif self.broken is not None:
            future.set_exception(OrderFailed(self.broken))
        else:
            self.generation += 1
            future.set_result(f"{self.wanted} workers of generation {self.generation} serve")
        return future

    def scale(self, number: int) -> str:
        self.orders.append(f"scale {number}")
        self.wanted = number
        return f"{number} workers are wanted"

    def routes(self) -> list[dict[str, Any]]:
        return [{"route": "invoices", "mode": "old", "share": None, "paths": ["/invoices"]}]

    def switch(self, route: str, mode: str, share: object, by: str) -> str:
        if mode == "never":
            raise OrderFailed("there is no such mode")
        self.orders.append(f"switch {route} {mode} {share}")
        return f"{route} {mode}"

    def reopen_logs(self) -> str:
        raise ZeroDivisionError  # no order may end the server, whatever it raises

    def stacks(self) -> asyncio.Future[dict[int, str]]:
        future: asyncio.Future[dict[int, str]] = asyncio.get_running_loop().create_future()
        future.set_result({os.getpid(): "Thread MainThread\n  File shop.py, line 3\n"})
        return future

    def metrics(self) -> str:
        raise OrderFailed("no figures are kept; say --metrics-bind 127.0.0.1:9000")

    def stop(self) -> str:
        self.stopped.set()
        return "stopping"


class Running:
    """One of them in a thread of this process, with its control socket at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.ready = threading.Event()

    def run(self) -> None:
        """Serve until `stop`."""
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.supervised = Supervised()
        control = ControlServer.open(self.path)
        assert control is not None
        await control.serve(self.supervised)
        self.ready.set()
        await self.supervised.stopped.wait()
        await _turns()  # asyncio leaks a connection that it accepts while the server is closed
        control.close()
        await _turns()  # answers are written

    def stop(self) -> None:
        """End it; also if it was ordered to stop."""
        try:
            self.loop.call_soon_threadsafe(self.supervised.stopped.set)
        except RuntimeError:
            pass  # it has ended already


async def _turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


@contextmanager
def taking_orders(path: Path) -> Iterator[Running]:
    """A server that takes orders at `path` for a block."""
    running = Running(path)
    thread = threading.Thread(target=running.run, name="control")
    thread.start()
    try:
        assert running.ready.wait(20)
        yield running
    finally:
        running.stop()
        thread.join(20)
        assert not thread.is_alive()


if __name__ == "__main__":
    Running(Path(sys.argv[1])).run()
