"""End a task of the app's that has not ended by itself, and say where it stands."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

from bridge.check.findings import Findings
from bridge.check.places import own_place_of_frame
from bridge.loops.watchdog.stack import Place

#: Seconds that a task has to end when it is cancelled.
CANCEL_LIMIT: Final = 1.0


async def end(
    task: asyncio.Future[Any], request: str, findings: Findings, *, is_late: bool
) -> bool:
    """Cancel `task` if it still runs; whether it had ended before.

    `is_late`: its client has left some time ago, so that it should have.
    """
    if task.done():
        return True
    place = place_of_task(task)
    if is_late:
        findings.add_once(place, "ignores-leaving", place, request=request)
    task.cancel()
    await asyncio.wait({task}, timeout=CANCEL_LIMIT)
    if not task.done():
        findings.add_once(place, "ignores-cancel", place, request=request)
    return False


def place_of_task(task: asyncio.Future[Any]) -> Place | None:
    """Return the innermost place in the app's own code in which a task waits."""
    coroutine = task.get_coro() if isinstance(task, asyncio.Task) else None
    places = [own_place_of_frame(frame) for frame in _frames(coroutine)]
    return next((each for each in reversed(places) if each is not None), None)


def _frames(awaited: Any) -> Iterator[FrameType]:
    """Yield the frames of a coroutine and of what it awaits, the outermost first."""
    for _ in range(100):
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "ag_frame", None)
        if frame is not None:
            yield frame
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None)
        if awaited is None:
            return
