"""A gateway, a Redis and workers as one server: ``python -m bench.peers.channels_main APP PORT N``.

It starts them as its children, and ends with them: the CPU time of its tree is that of all.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

PATIENCE = 15.0


def main() -> None:
    """Start them, and wait until told to end."""
    app, port, workers = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with_redis(lambda redis: _commands(redis, app, port, workers))


def _commands(redis: str, app: str, port: str, workers: int) -> list[list[str]]:
    ours = [sys.executable, "-m", "bridge"]
    kind = "--interface=asgi1" if app.endswith("asgi1") else "--interface=auto"
    listen = ["--host=127.0.0.1", f"--port={port}", "--no-access-log"]
    worker = [*ours, "worker", app, f"--channels={redis}", kind]
    return [worker] * workers + [[*ours, "gateway", f"--channels={redis}", *listen]]


def with_redis(commands: Callable[[str], list[list[str]]]) -> None:
    """Run a Redis, and what `commands` says for its address, until told to end.

    The address is in their environment, too: ``BENCH_REDIS``.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    children: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as folder:
        address = f"unix://{folder}/redis.sock"
        try:
            children.append(_redis(folder))
            environment = {**os.environ, "BENCH_REDIS": address}
            for command in commands(address):
                children.append(subprocess.Popen(command, env=environment))
            signal.pause()
        finally:
            for child in reversed(children):
                child.terminate()
            for child in children:
                child.wait()


def _redis(folder: str) -> subprocess.Popen[bytes]:
    """Start a Redis at ``redis.sock`` in `folder`, and return it when it takes connections."""
    program, path = shutil.which("redis-server"), f"{folder}/redis.sock"
    if program is None:
        raise SystemExit("needs Debian's package redis-server")
    alone = [program, "--port", "0", "--unixsocket", path, "--save", ""]
    redis = subprocess.Popen(alone, cwd=folder)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(path)
            return redis
        except OSError:
            time.sleep(0.02)
    redis.terminate()
    raise SystemExit("Redis took no connection")


if __name__ == "__main__":
    main()
