"""The open connections of a server, as a set that can be waited for.

A server that stops waits until they are gone, and closes those that come meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class ConnectionSet(set[T]):
    """A set that tells when a connection comes, and when one goes; for one event loop."""

    def __init__(self) -> None:
        super().__init__()
        #: Called with each connection that is added.
        self._on_added: Callable[[T], object] | None = None
        #: Called after one has gone.
        self._on_gone: Callable[[], object] | None = None
        self._gone = asyncio.Event()

    def add(self, connection: T) -> None:
        """Add a connection that has been opened."""
        super().add(connection)
        if self._on_added is not None:
            self._on_added(connection)

    def discard(self, connection: object) -> None:
        """Remove a connection that is closed, or that another takes the place of."""
        super().discard(connection)
        self.note_gone()

    def note_gone(self) -> None:
        """Have those that wait look again: one has gone, perhaps before it was in the set."""
        self._gone.set()
        if self._on_gone is not None:
            self._on_gone()

    def watch(self, on_gone: Callable[[], object]) -> None:
        """Call `on_gone` whenever a connection goes, from now on."""
        self._on_gone = on_gone

    @contextmanager
    def calling(self, on_added: Callable[[T], object]) -> Iterator[None]:
        """Call `on_added` with each connection that is added meanwhile."""
        self._on_added = on_added
        try:
            yield
        finally:
            self._on_added = None

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once `condition()` holds, which is asked now, and when a connection goes."""
        while not condition():
            self._gone.clear()
            await self._gone.wait()
