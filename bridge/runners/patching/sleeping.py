"""`time.sleep` in greenlets."""

from __future__ import annotations

import operator
import time
from functools import wraps
from typing import Any, Final

from bridge.runners.greenlets import waiting
from bridge.runners.greenlets.worker import current_worker

_original: Final = time.sleep
#: A clock cannot count so many seconds.
_TOO_MANY: Final = 9_223_372_036.0


@wraps(_original)
def sleep(seconds: Any, /) -> None:
    """Wait for `seconds`: other greenlets go on meanwhile."""
    worker = current_worker()
    if worker is None:
        _original(seconds)
        return
    whole = not isinstance(seconds, float)
    if whole and not hasattr(type(seconds), "__index__"):
        _original(seconds)  # raises an error
    delay = operator.index(seconds) if whole else seconds
    if not 0 <= delay < _TOO_MANY:
        _original(seconds)  # raises an error, too
    waiting.sleep(worker, delay)


def patch() -> list[tuple[object, object]]:
    """Return what is to be replaced everywhere."""
    return [(_original, sleep)]
