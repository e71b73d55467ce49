"""Bytes in and out, of connections that are open and of those that were (O2).

Whoever opens a connection says how to read what went through it: from the kernel, which counts
anyway, or from counters on the way. So a request costs nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

#: How many bytes came in and went out by one connection so far; None if that cannot be told now.
Source: TypeAlias = Callable[[], tuple[int, int] | None]

#: The most open connections that are read for one snapshot: each takes two microseconds.
AT_ONCE: Final = 500


class Traffic:
    """Adds up what went through the connections of a server. For the loop's thread."""

    def __init__(self) -> None:
        #: Connections opened so far.
        self.opened = 0
        #: Bytes of all connections, as far as they have been read.
        self.received = 0
        self.sent = 0
        #: What is open, and what each gave when it was last read.
        self._open: dict[Source, tuple[int, int]] = {}
        #: Those that this round has still to read.
        self._round: Iterator[Source] = iter(())

    def open(self, source: Source) -> None:
        """Note that a connection was opened, which `source` tells of."""
        self.opened += 1
        self._open[source] = (0, 0)

    def close(self, source: Source) -> None:
        """Read a connection for the last time; harmless if that was done."""
        if source in self._open:
            self._read(source)
            del self._open[source]

    def update(self, most: int = AT_ONCE) -> None:
        """Read open connections, at most so many; the next call goes on behind these."""
        left = min(most, len(self._open))
        while left:
            source = next(self._round, None)
            if source is None:
                self._round = iter([*self._open])
            elif source in self._open:
                self._read(source)
                left -= 1

    def _read(self, source: Source) -> None:
        now = source()
        if now is not None:
            received, sent = self._open[source]
            self.received += now[0] - received
            self.sent += now[1] - sent
            self._open[source] = now
