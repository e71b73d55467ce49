"""A gateway, a Redis and workers as one server: ``python -m bench.peers.channels_main APP PORT N``.

It starts them as its children, and ends with them: the CPU time of its tree is that of all.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PATIENCE = 15.0


def main() -> None:
    """Start them, and wait until told to end."""
    app, port, workers = sys.argv[1], sys.argv[2], int(sys.argv[3])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    children: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            _start(children, folder, app, port, workers)
            signal.pause()
        finally:
            for child in reversed(children):
                child.terminate()
            for child in children:
                child.wait()


def _start(
    children: list[subprocess.Popen[bytes]], folder: str, app: str, port: str, workers: int
) -> None:
    redis, path = shutil.which("redis-server"), f"{folder}/redis.sock"
    if redis is None:
        raise SystemExit("needs Debian's package redis-server")
    children.append(
        subprocess.Popen([redis, "--port", "0", "--unixsocket", path, "--save", ""], cwd=folder)
    )
    _wait_for(path)
    channels = f"--channels=unix://{path}"
    ours = [sys.executable, "-m", "bridge"]
    kind = "--interface=asgi1" if app.endswith("asgi1") else "--interface=auto"
    for _ in range(workers):
        children.append(subprocess.Popen([*ours, "worker", app, channels, kind]))
    listen = ["--host=127.0.0.1", f"--port={port}", "--no-access-log"]
    children.append(subprocess.Popen([*ours, "gateway", channels, *listen]))


def _wait_for(path: str) -> None:
    """Return when a server takes connections at the Unix socket `path`."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(path)
            return
        except OSError:
            time.sleep(0.02)
    raise SystemExit("Redis took no connection")


if __name__ == "__main__":
    main()
