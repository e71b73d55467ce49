"""What has blocked a loop, in one line."""

from __future__ import annotations

import re
import time

from bridge.loops.watchdog.block import Block
from bridge.loops.watchdog.history import History
from bridge.loops.watchdog.stack import Place, Stack

STACK = Stack((Place("app.py", 3, "view"),), 0, "GET /", "ASGI", False, False)


def block(seconds: float, *, ended: bool) -> Block:
    since = time.monotonic() - 4
    return Block(STACK, 1, since, alone=False, seconds=seconds, lasted=seconds, ended=ended)


def test_blocks_are_counted_at_their_end() -> None:
    """R3: how often, for how long in all, and the last one."""
    history = History()
    history(block(0.1, ended=False))
    assert str(history) == ""
    history(block(0.2, ended=True))
    assert str(history).startswith("the event loop was blocked 1 time, for 0.20 s in all; ")
    history(block(0.5, ended=True))
    assert re.fullmatch(
        r"the event loop was blocked 2 times, for 0\.70 s in all; the last time \d+\.\d s ago, for "
        r"0\.50 s by GET /, at app\.py:3 in view",
        str(history),
    )
