"""A fork in a greenlet (G6).

`threading` looks in the child for the thread that lives on, by its number: meanwhile the greenlet
has that of its thread. The child has a copy of the event loop, but what that watches is
the parent's: so the greenlet waits there no more for others, and its calls block.
"""

from __future__ import annotations

import os

from bridge.runners.greenlets.worker import Worker
from bridge.runners.patching.threads import locks
from bridge.runners.patching.threads.idents import acting_greenlet

#: The greenlets that are about to fork.
_forking: list[Worker] = []
_registered = False


def _before() -> None:
    worker = acting_greenlet()
    if worker is not None:
        worker.ident = worker.thread_ident
        _forking.append(worker)


def _after() -> Worker | None:
    worker = _forking.pop() if _forking else None
    if worker is not None:
        worker.ident = id(worker)
    return worker


def _after_in_child() -> None:
    locks.forget_other_threads()
    worker = _after()
    if worker is not None:
        worker.blocks += 1


def patch() -> list[tuple[object, object]]:
    """Be called before and after each fork."""
    global _registered
    if hasattr(os, "register_at_fork") and not _registered:
        _registered = True
        os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
    return []
