"""Python's garbage collector, for many requests under way at once.

It looks at all new objects whenever there are some hundreds or thousands more than before, as it
takes them for garbage. But they belong to the requests that wait: hundreds of these are about to
begin or to end together, again and again. A tenth of the CPU went for such looks, and nothing was
found.
"""

from __future__ import annotations

import gc
from typing import Final

#: How many new objects there may be before the collector looks at them, as Python sets that.
_BY_PYTHON: Final = (700, 2_000)
#: And where a greenlet runner has served.
_YOUNG: Final = 10_000


def collect_less_often() -> None:
    """Have Python look for garbage less often, unless the app or its user has chosen how often."""
    young, *others = gc.get_threshold()
    if young in _BY_PYTHON:
        gc.set_threshold(_YOUNG, *others)
