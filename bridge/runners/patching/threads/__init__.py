"""Threads and what they share: `threading`, `queue`, and who calls, for greenlets and threads (G6).

Threads stay threads. What they wait with is for greenlets too: a lock, a condition or a queue can
be used by both at once.
"""

from __future__ import annotations

from bridge.runners.patching.threads import (
    conditions,
    current,
    forks,
    held,
    idents,
    locks,
    logs,
    queues,
    rlocks,
)

_PARTS = (idents, locks, rlocks, conditions, current, queues, logs, forks, held)


def patch() -> list[tuple[object, object]]:
    """Change the classes of `threading` and `logging`; return what is to be replaced, with what."""
    return [pair for part in _PARTS for pair in part.patch()]
