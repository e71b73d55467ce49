"""What has blocked a loop so far, in short."""

from __future__ import annotations

from time import monotonic

from bridge.errors import pluralize
from bridge.loops.watchdog.block import Block


class History:
    """Counts blocks, and keeps the last one (`Observer`)."""

    def __init__(self) -> None:
        self._count = 0
        self._seconds = 0.0
        self._last: Block | None = None

    def __call__(self, block: Block) -> None:
        """Take note of `block` at its end."""
        if block.ended:
            self._count += 1
            self._seconds += block.seconds
            self._last = block

    def __str__(self) -> str:
        """Say it in one line; empty if nothing has blocked the loop."""
        last = self._last
        if last is None:
            return ""
        ago = max(monotonic() - last.since - last.lasted, 0.0)
        return (
            f"the event loop was blocked {pluralize(self._count, 'time')}, for "
            f"{self._seconds:.2f} s in all; the last time {ago:.1f} s ago, for {last.duration} "
            f"{last.by}"
        )
