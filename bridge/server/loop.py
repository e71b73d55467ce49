"""The event loop of the server, which is uvloop's where there is one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from bridge.event_loop import new_event_loop

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on a new loop to its end, as `asyncio.run` does.

    But `SystemExit`, which an app's task may raise, ends that task only (S14): asyncio lets it
    out of the loop as well, and there the loop goes on.
    """
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        loop = runner.get_loop()
        task = loop.create_task(main)
        while True:
            try:
                return loop.run_until_complete(task)
            except SystemExit:
                if task.done():
                    raise
