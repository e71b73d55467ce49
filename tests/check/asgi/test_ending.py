"""Where a task stands that has not ended (M51)."""

from __future__ import annotations

import asyncio

from bridge.check.asgi.ending import end, place_of_task
from bridge.check.findings import Findings


async def inner() -> None:
    await asyncio.Event().wait()


async def outer() -> None:
    await inner()


def test_the_innermost_own_place_is_told() -> None:
    """M51: of what the task awaits, however deep."""

    async def run() -> tuple[bool, str, bool]:
        findings = Findings()
        task = asyncio.ensure_future(outer())
        await asyncio.sleep(0)
        place = place_of_task(task)
        ended = await end(task, "GET /", findings, is_late=True)
        assert [each.id for each in findings] == ["ignores-leaving"]
        return ended, place.function if place else "", task.cancelled()

    assert asyncio.run(run()) == (False, "inner", True)


def test_what_has_ended_is_left_alone() -> None:
    """M51: nothing is told of it."""

    async def run() -> bool:
        task = asyncio.ensure_future(asyncio.sleep(0))
        await task
        assert place_of_task(task) is None
        return await end(task, "GET /", Findings(), is_late=True)

    assert asyncio.run(run())
