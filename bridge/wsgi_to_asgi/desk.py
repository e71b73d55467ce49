"""Where threads hand in what they have finished, and the loop collects it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from bridge.runners import Runner


class Finished(Protocol):
    """An exchange whose whole response a thread has made."""

    def wake_up(self) -> None:
        """On the loop: the response is there."""


class Desk:
    """What all exchanges of one adapter share on one loop.

    A thread that finishes many responses before the loop gets its turn wakes it once:

        thread: append; asked already? else ask the loop to collect
        loop:   take "asked" down; collect until there is nothing

    What is appended while "asked" is up is there before the loop takes it down, so it is collected.
    """

    __slots__ = ("_asked", "_finished", "held", "loop", "runner")

    def __init__(self, runner: Runner, loop: asyncio.AbstractEventLoop) -> None:
        self.runner = runner
        self.loop = loop
        #: What most requests hold: a thread of this runner, and no other (`holding`).
        self.held = (runner,)
        self._finished: deque[Finished] = deque()
        self._asked = False

    def hand_in(self, exchange: Finished) -> None:
        """From any thread: have the loop wake `exchange` up, with others."""
        self._finished.append(exchange)
        if not self._asked:
            self._asked = True
            try:
                self.loop.call_soon_threadsafe(self._collect)
            except RuntimeError:  # the loop has closed: nobody waits
                self._asked = False
                self._finished.clear()

    def _collect(self) -> None:
        self._asked = False
        finished = self._finished
        while finished:
            finished.popleft().wake_up()
