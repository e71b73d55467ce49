"""Logging from greenlets."""

from __future__ import annotations

import logging
import time
from typing import Any

from bridge.runners.patching.threads import rlocks
from tests.runners.patching.threads.jobs import Begin, run_jobs

made_before = logging.Handler()


def test_no_switch_with_a_handlers_lock() -> None:
    """G6: a call that a handler makes blocks, so that the loop's own lines never wait for it."""

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())
            time.sleep(0.001)
            lines.append("")

    lines: list[str] = []
    logger = logging.getLogger("test_logs")
    logger.propagate = False
    slow = Slow()
    logger.addHandler(slow)

    async def main(begin: Begin) -> None:
        def job() -> None:
            logger.warning("greenlet")
            time.sleep(0.001)

        calls = [begin(job) for _ in range(10)]
        for call in calls:
            logger.warning("loop")
            await call.done

    try:
        run_jobs(main)
    finally:
        logger.removeHandler(slow)
    assert lines[1::2] == [""] * 20
    assert sorted({*lines}) == ["", "greenlet", "loop"]


def test_their_locks() -> None:
    """G6: the locks of handlers stay those of threads, whenever they were made."""
    new: Any = logging.Handler()
    old: Any = made_before
    assert type(new.lock) is type(old.lock) is rlocks.RealRLock
    assert logging.NullHandler().lock is None
