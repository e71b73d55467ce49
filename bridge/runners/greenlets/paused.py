"""Where the greenlets of a runner wait, and what for."""

from __future__ import annotations

from collections.abc import Iterator
from types import FrameType

from bridge.runners.greenlets.runner import GreenletRunner


def paused_greenlets(runner: GreenletRunner) -> Iterator[tuple[FrameType, str]]:
    """Yield the innermost frame of each greenlet that waits, and the awaitable that it waits for.

    That is empty for one which waits for a time, a descriptor or a lock: its frame shows it.
    """
    for worker in tuple(runner._busy.values()):
        frame = worker.frame()
        if frame is not None:
            yield frame, "" if worker.awaited is None else repr(worker.awaited)
