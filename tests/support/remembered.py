"""What the bridge remembers from one request to the next, whichever table holds it."""

from __future__ import annotations

import gc

from bridge.caches import BoundedDict


def tables() -> list[BoundedDict[object, object]]:
    """All bounded tables of this process."""
    frozen = gc.get_freeze_count()  # what was there before the first test
    gc.unfreeze()
    try:
        return [each for each in gc.get_objects() if issubclass(type(each), BoundedDict)]
    finally:
        if frozen:
            gc.freeze()


def is_remembered(part: str) -> bool:
    """Whether a table has a key with `part` in it, as text or as bytes. Ask for something rare."""
    return any(part in repr(key) for table in tables() for key in list(table))
