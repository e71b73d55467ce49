"""Where a request stands, for the log."""

from __future__ import annotations

import asyncio
import json
import sys
from types import FrameType

from bridge.runners.timeouts.report import Place, calls_of_coroutine, calls_of_frame


def test_the_innermost_line_of_the_app() -> None:
    """R2: the log names the app's own line, and shows the library's below it."""
    frames: list[FrameType] = []

    def note(value: object) -> str:
        frames.append(sys._getframe(1))
        raise KeyError

    try:
        json.dumps(object(), default=note)
    except KeyError:
        pass
    place = Place(calls_of_frame(frames[0]))
    assert place.line.startswith(f"{__file__}:")
    assert "in test_the_innermost_line_of_the_app" in place.line
    assert "in JSONEncoder.encode" in place.stack or "in JSONEncoder" in place.stack
    assert place.stack.index("test_the_innermost_line") < place.stack.index("JSONEncoder")


def test_the_stack_ends_where_the_app_begins() -> None:
    """R2: calls of the bridge around the app are not shown."""

    def outer() -> Place:
        return inner()

    def inner() -> Place:
        return Place(calls_of_frame(sys._getframe(), outer.__code__))

    place = outer()
    assert place.stack.count("File") == 1
    assert "in test_the_stack_ends_where_the_app_begins.<locals>.inner" in place.stack


def test_a_stack_that_is_not_there() -> None:
    """R2: a job that has just ended has none."""
    place = Place(calls_of_frame(None))
    assert (place.line, place.stack) == ("an unknown place", "  (no stack)")


def test_where_a_coroutine_stands() -> None:
    """R2: for an app that awaits, its calls are those of all coroutines that await each other."""

    async def outer() -> None:
        await inner()

    async def inner() -> None:
        await asyncio.sleep(60)

    async def main() -> Place:
        task = asyncio.create_task(outer())
        await asyncio.sleep(0)
        place = Place(calls_of_coroutine(task.get_coro()))
        task.cancel()
        return place

    place = asyncio.run(main())
    assert place.line.endswith("in test_where_a_coroutine_stands.<locals>.inner")
    assert place.stack.index("outer") < place.stack.index("inner") < place.stack.index("in sleep")
    assert calls_of_coroutine(None) == []
