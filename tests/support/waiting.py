"""Waiting for what another process does."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path


def eventually(holds: Callable[[], object], timeout: float = 30, pause: float = 0.02) -> None:
    """Return when `holds()` is true; `AssertionError` if it is not within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(pause)  # the pace of asking, nothing depends on it


def listens(path: str | Path) -> bool:
    """Whether the Unix socket at `path` takes connections; its file is there a moment before."""
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(str(path)) == 0
