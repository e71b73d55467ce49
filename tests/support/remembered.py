"""What the bridge remembers from one request to the next, whichever table holds it."""

from __future__ import annotations

import gc

from bridge.caches import BoundedDict


def tables() -> list[BoundedDict[object, object]]:
    """All bounded tables of this process."""
    return [each for each in gc.get_objects() if issubclass(type(each), BoundedDict)]


def is_remembered(part: str) -> bool:
    """Whether a table has a key with `part` in it, as text or as bytes. Ask for something rare."""
    return any(part in repr(key) for table in tables() for key in list(table))
