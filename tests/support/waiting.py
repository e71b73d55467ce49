"""Waiting for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(holds: Callable[[], object], timeout: float = 30, pause: float = 0.02) -> None:
    """Return when `holds()` is true; `AssertionError` if it is not within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(pause)  # the pace of asking, nothing depends on it
