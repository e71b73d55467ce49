"""Waiting for what another process does."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def eventually(holds: Callable[[], object], timeout: float = 30, pause: float = 0.02) -> None:
    """Return when `holds()` is true; `AssertionError` if it is not within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(pause)  # the pace of asking, nothing depends on it


class Together:
    """How many are in its block at the same time: that they wait side by side, without a clock."""

    def __init__(self) -> None:
        self._inside: list[None] = []
        #: The most that there have been.
        self.most = 0

    def __enter__(self) -> None:
        self._inside.append(None)
        self.most = max(self.most, len(self._inside))

    def __exit__(self, *error: object) -> None:
        self._inside.pop()

    def during(self, function: Callable[[], T]) -> T:
        """Return ``function()``, which is called in the block."""
        with self:
            return function()


def listens(path: str | Path) -> bool:
    """Whether the Unix socket at `path` takes connections; its file is there a moment before."""
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(str(path)) == 0
