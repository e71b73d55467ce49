"""24 hours in small: ``python -m bench.in_process.soak [--requests 200000]``.

One gunicorn gthread worker, an ASGI app behind `AsgiToWsgi`, and clients that keep their
connections, but break one request in ten off in the middle of its response. What the worker
holds (threads, descriptors, tasks of the event loop, memory) is shown after the first 1,000
requests and at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = 8
FIRST = 1_000
#: One request in so many is broken off.
BROKEN_OFF = 10
#: Threads of the host's pool, which it starts one by one, when all it has are busy; and the most
#: that its process has with them: its main thread, and the one of our loop.
POOL = 16
MOST_THREADS = POOL + 2
#: Seconds for the last broken-off requests to be noticed before figures are read.
SETTLE = 10.0

Figures = dict[str, float]


@contextmanager
def server() -> Iterator[tuple[int, int]]:
    """A worker; its port and its pid."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "-k", "gthread", "--keep-alive=30"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [
                *(*command, f"--threads={POOL}", f"--bind=127.0.0.1:{port}"),
                "bench.apps.soaked:application",
            ],
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield port, _worker(process, port)
        finally:
            process.terminate()
            process.wait(30)


def _worker(process: subprocess.Popen[bytes], port: int) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            _figures_inside(port)
        except OSError:
            time.sleep(0.05)
        else:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            return int(children.split()[0])
    raise SystemExit("the server did not start")


def _figures_inside(port: int) -> Figures:
    with urlopen(f"http://127.0.0.1:{port}/figures", timeout=10) as response:
        figures: Figures = json.load(response)
        return figures


def figures(port: int, pid: int) -> Figures:
    """What the worker holds, once it has noticed that clients are gone (at most `SETTLE` s)."""
    deadline = time.monotonic() + SETTLE
    while (inside := _figures_inside(port))["tasks"] and time.monotonic() < deadline:
        time.sleep(0.1)
    status = Path(f"/proc/{pid}/status").read_text()
    memory = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return {
        **inside,
        "threads": _threads(pid),
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "memory MB": round(int(memory.split()[1]) / 1024, 1),
    }


def _threads(pid: int) -> int:
    """How many threads a process has, without those that the kernel makes for its io_uring."""
    names = [each.read_text() for each in Path(f"/proc/{pid}/task").glob("*/comm")]
    return sum(not name.startswith("iou-") for name in names)


class Client:
    """Asks on one connection until a response is to be broken off, which ends the connection."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connection: socket.socket | None = None

    def ask(self, number: int) -> None:
        if number % BROKEN_OFF == 0:
            self._send("/endless" if number % (10 * BROKEN_OFF) else "/waiting").recv(1_000)
            self.close()
            return
        connection, answer = self._send("/"), b""
        while not answer.endswith(b"Hello, world!"):
            piece = connection.recv(65_536)
            if not piece:
                raise SystemExit(f"request {number} was not answered: {answer!r}")
            answer += piece

    def _send(self, path: str) -> socket.socket:
        if self.connection is None:
            self.connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        self.connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return self.connection

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def run(port: int, requests: int) -> None:
    """`requests` requests from `CLIENTS` clients."""
    failures: list[BaseException] = []

    def work() -> None:
        client = Client(port)
        try:
            for number in range(1, requests // CLIENTS + 1):
                client.ask(number)
        except BaseException as error:
            failures.append(error)
        finally:
            client.close()

    clients = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    if failures:
        raise failures[0]


def soak(requests: int) -> tuple[Figures, Figures]:
    """What the worker held after the first `FIRST` requests, and after all."""
    with server() as (port, pid):
        run(port, FIRST)
        before = figures(port, pid)
        run(port, requests - FIRST)
        return before, figures(port, pid)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000)
    requests = parser.parse_args().requests
    began = time.monotonic()
    before, after = soak(requests)
    print(
        f"{requests} requests, one in {BROKEN_OFF} broken off, {time.monotonic() - began:.0f} s\n"
    )
    print(f"| | after {FIRST} | at the end |\n| :-- | --: | --: |")
    for name in before:
        print(f"| {name} | {before[name]} | {after[name]} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
