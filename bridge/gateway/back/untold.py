"""The requests that a worker has claimed, and of which their gateways have not heard yet (L9, L10).

Most are answered in a moment, and the answer tells all. Those that take longer are told of by a
frame of their own, soon. Until a gateway is told, the request is pending for its worker in Redis
(`keys.py`), so a worker that dies meanwhile is found all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

#: Seconds after which gateways are told, at the soonest; the latest is twice that.
SOON: Final = 0.005


class Tells(Protocol):
    """A request whose gateway can be told that it was taken."""

    def tell(self) -> bool:
        """Tell it, if it does not know; True: it did not."""


class Untold:
    """Tells the gateways of all requests that are added, soon; calls `slow` for each."""

    def __init__(self, slow: Callable[[], object]) -> None:
        self._slow = slow
        #: Those since the last look, and those before.
        self._young: list[Tells] = []
        self._old: list[Tells] = []
        self._waits = False

    def add(self, request: Tells) -> None:
        """Have `request` tell its gateway, soon."""
        self._young.append(request)
        if not self._waits:
            self._wait()

    def _wait(self) -> None:
        self._waits = True
        asyncio.get_running_loop().call_later(SOON, self._look)

    def _look(self) -> None:
        self._waits = False
        old, self._old, self._young = self._old, self._young, []
        for each in old:
            if each.tell():
                self._slow()
        if self._old:
            self._wait()
