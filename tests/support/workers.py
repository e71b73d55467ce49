"""A worker in a real process, with this as its supervisor; for the tests of the worker's side.

``python -m tests.support.workers SETTINGS`` opens the listeners, forks as many workers as
``"count"`` says, prints one JSON line for each thing that happens, and sends on what it reads::

    {"port": 8000}  {"worker": 0, "pid": 4711}  {"worker": 0, "type": "started", ...}
    {"worker": 0, "code": 0}

A line that it reads, ``{"worker": 0, "type": "serve"}``, goes to that worker. It does nothing by
itself: no replacement, no restart. At the end of its standard input it waits for its workers.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from bridge.server.config.sources import from_python
from bridge.server.network.listeners import Listener, open_listeners
from bridge.server.process.channel import Channel, ChannelClosed
from bridge.server.process.stacks import StackFile
from bridge.server.process.worker import run_worker
from tests.support.hosts import ENV, ROOT


def main(settings: dict[str, Any]) -> int:
    """Fork the workers, and pass messages on until all are gone."""
    global _said_to
    _said_to = os.dup(1)
    os.dup2(2, 1)  # what the workers print is the log
    count = settings.pop("count", 1)
    broken = settings.pop("broken", False)
    stacks = StackFile() if settings.pop("stacks", False) else None
    config = from_python(settings.pop("app"), settings)
    listeners = open_listeners(config)
    say(port=listeners[0].address[1])
    if broken:
        close_all(listeners)
    channels: list[Channel] = []
    pids: dict[int, int] = {}
    for slot in range(count):
        ours, theirs = small_pair()
        pid = fork_held()
        if not pid:
            for each in (ours, *channels):
                each.close()
            run_worker(config, listeners, theirs, slot=slot, stacks=stacks)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
        theirs.close()
        channels.append(ours)
        pids[pid] = slot
        say(worker=slot, pid=pid)
    close_all(listeners)
    pass_on(channels, stacks, [*pids])
    return wait_for(pids)


def small_pair() -> tuple[Channel, Channel]:
    """A channel into which the worker cannot write much: what is long comes in pieces."""
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    return Channel(ours), Channel(theirs)


def fork_held() -> int:
    """Fork while signals are held back, as a supervisor does."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    return os.fork()


def close_all(listeners: list[Listener]) -> None:
    """Have the workers alone accept connections: their end is the end of the port."""
    for listener in listeners:
        listener.socket.close()


def pass_on(channels: list[Channel], stacks: StackFile | None, pids: list[int]) -> None:
    """Pass messages on, in both directions, until every worker has closed its channel."""
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        for slot, channel in enumerate(channels):
            selector.register(channel, selectors.EVENT_READ, slot)
        left, read = len(channels), b""
        while left:
            for key, _ in selector.select():
                if key.data is None:
                    data = os.read(sys.stdin.fileno(), 65536)
                    *lines, read = (read + data).split(b"\n")
                    for message in map(json.loads, lines):
                        slot = message.pop("worker")
                        if message["type"] == "read stacks":
                            say(
                                worker=slot,
                                stacks=asyncio.run(read_stacks(stacks, pids[slot])),
                            )
                        else:
                            channels[slot].send(message)
                    if not data:
                        selector.unregister(sys.stdin)
                    continue
                try:
                    for message in channels[key.data].receive():
                        say(worker=key.data, **message)
                except ChannelClosed:
                    selector.unregister(channels[key.data])
                    left -= 1


async def read_stacks(stacks: StackFile | None, pid: int) -> str:
    """What the worker writes at the signal."""
    assert stacks is not None
    return await stacks.read(pid)


def wait_for(pids: dict[int, int]) -> int:
    """Reap the workers, and say their codes."""
    while pids:
        pid, status = os.wait()
        say(worker=pids.pop(pid), code=os.waitstatus_to_exitcode(status))
    return 0


#: Where `say` writes. The workers have it, too: it ends when all of them are gone.
_said_to = -1


def say(**what: Any) -> None:
    """Write one JSON line to the test."""
    os.write(_said_to, json.dumps(what).encode() + b"\n")


# ------------------------------------------------------------- the test's side


class Workers:
    """The supervisor above, and what it says."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self._log = log
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = int(self.next("port")["port"])

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line))

    def next(self, *kinds: str) -> dict[str, Any]:
        """The next line that has one of these keys, or types; those before it are dropped."""
        while True:
            try:
                line = self._lines.get(timeout=30)
            except queue.Empty:
                raise AssertionError(f"no {kinds} came; the log: {self.log()}") from None
            if any(kind in line or line.get("type") == kind for kind in kinds):
                return line

    def tell(self, type: str, worker: int = 0, **more: Any) -> None:
        """Send a message to a worker."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"worker": worker, "type": type, **more}) + "\n")
        self.process.stdin.flush()

    def serving(self, count: int = 1) -> list[int]:
        """Have all `count` workers serve; returns their pids."""
        pids = [self.next("pid")["pid"] for _ in range(count)]
        for _ in range(count):
            self.next("started")
        for worker in range(count):
            self.tell("serve", worker)
        for _ in range(count):
            self.next("serving")
        return pids

    def url(self, path: str = "/") -> str:
        """The URL of `path`."""
        return f"http://127.0.0.1:{self.port}{path}"

    def ended(self, timeout: float = 30) -> bool:
        """Whether the supervisor and all workers are gone, within `timeout` seconds."""
        self._reader.join(timeout)
        return not self._reader.is_alive()

    def log(self) -> str:
        """What was written to standard error by all of them."""
        return self._log.read_text(errors="replace")


@contextmanager
def workers(folder: Path, app: str, **settings: Any) -> Iterator[Workers]:
    """Workers of a supervisor that does nothing by itself; `app` is a target in `folder`."""
    said = {"app": app, "port": 0, "app_dir": str(folder), "lifespan": "auto", **settings}
    log = folder / "log.txt"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.workers", json.dumps(said)],
            cwd=ROOT,
            env={**os.environ, **ENV},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    running = Workers(process, log)
    try:
        yield running
    finally:
        process.kill()
        process.wait(20)
        assert running.ended(), f"workers were left behind; the log: {running.log()}"
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def end() -> NoReturn:
    """Run the supervisor with the settings of the command line."""
    sys.exit(main(json.loads(sys.argv[1])))


if __name__ == "__main__":
    end()
