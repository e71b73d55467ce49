"""Where threads hand in what they have finished, and the loop collects it.

A thread that woke the loop for each response, or wrote it itself, would give the interpreter lock
away for that, and get it back only after the loop has had it: two switches for each response. What
is left at the desk costs one call into the loop for many; the loop gets its turn when the threads
wait for something, or after a switch interval.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextvars import Context
from typing import Protocol

logger = logging.getLogger("bridge.error")


class Finished(Protocol):
    """An exchange whose whole response a thread has made."""

    def collected(self) -> None:
        """On the loop: send the response, and go on after it."""


class Desk:
    """What all exchanges of one server, or of one adapter on one loop, share.

        thread: append; asked already? else ask the loop to collect
        loop:   take "asked" down; collect until there is nothing

    What is appended while "asked" is up is there before the loop takes it down, so it is collected.
    """

    __slots__ = ("_context", "_finished", "asked", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        #: The loop will come.
        self.asked = False
        self._finished: deque[Finished] = deque()
        #: No request's: many are collected at once.
        self._context = Context()

    def hand_in(self, exchange: Finished) -> None:
        """From any thread: have the loop collect `exchange`, with others."""
        self._finished.append(exchange)
        if not self.asked:
            self.asked = True
            try:
                self.loop.call_soon_threadsafe(self._collect, context=self._context)
            except RuntimeError:  # the loop has closed: nobody waits
                self.asked = False
                self._finished.clear()

    def _collect(self) -> None:
        self.asked = False
        finished = self._finished
        while finished:
            try:
                finished.popleft().collected()
            except Exception:
                logger.exception("could not send a response that a thread has made")
