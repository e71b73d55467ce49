"""Logging from greenlets (G6): a greenlet never switches while it holds the lock of a handler.

If it did, the next line that the event loop itself logs would want this lock, and never get it. So
calls that a handler makes block, as they do without the patch; a handler that sends its lines over
a slow network belongs behind a `logging.handlers.QueueHandler`. As no greenlet switches then, the
locks of logging can be, and stay, those of threads, whenever they were made.

The hook is `Handler.handle`, through which each line passes with the lock held.
"""

from __future__ import annotations

import logging
import os
from functools import wraps
from typing import Any, Final

from bridge.runners.greenlets.worker import current_worker
from bridge.runners.patching.threads.rlocks import RealRLock

_handle: Final = logging.Handler.handle


@wraps(_handle)
def _handle_without_switch(self: logging.Handler, record: logging.LogRecord) -> Any:
    worker = current_worker()
    if worker is None:
        return _handle(self, record)
    worker.blocks += 1
    try:
        return _handle(self, record)
    finally:
        worker.blocks -= 1


def _create_lock(self: Any) -> None:
    """Give a new handler a lock of threads."""
    self.lock = RealRLock()
    after_fork = getattr(logging, "_register_at_fork_reinit_lock", None)
    if after_fork is not None and hasattr(os, "register_at_fork"):
        after_fork(self)


def patch() -> list[tuple[object, object]]:
    """Change `logging.Handler`."""
    logging.Handler.handle = _handle_without_switch  # type: ignore[method-assign]
    logging.Handler.createLock = _create_lock  # type: ignore[method-assign]
    return []
