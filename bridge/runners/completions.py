"""The queue in which threads put finished responses, for the loop to send.

A thread that woke the loop for each response, or wrote it itself, would give the interpreter lock
away for that, and get it back only after the loop has had it: two switches for each response. The
queue costs one call into the loop for many responses; the loop gets its turn when the threads wait
for something, or after a switch interval.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context
from typing import Protocol

from bridge.log import logger


class Completion(Protocol):
    """An exchange whose whole response a thread has made."""

    def on_completed(self) -> None:
        """On the loop: send the response, and go on after it."""


class CompletionQueue:
    """Shared by all exchanges of one server, or of one adapter on one loop.

        thread: append; if no wake-up is pending, wake the loop
        loop:   clear "wakeup_pending"; collect until the queue is empty

    What is appended while a wake-up is pending is there before the loop clears it: it is collected.
    """

    __slots__ = ("_context", "_finished", "loop", "wakeup_pending")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        #: The loop will collect.
        self.wakeup_pending = False
        self._finished: deque[Completion] = deque()
        #: No request's own: many are collected at once.
        self._context = Context()

    def put(self, exchange: Completion) -> None:
        """Have the loop collect `exchange`, soon and with others. From any thread."""
        self._finished.append(exchange)
        if not self.wakeup_pending:
            self.wakeup_pending = True
            try:
                self.loop.call_soon_threadsafe(self._collect, context=self._context)
            except RuntimeError:  # the loop has closed: nobody waits
                self.wakeup_pending = False
                self._finished.clear()

    def _collect(self) -> None:
        self.wakeup_pending = False
        finished = self._finished
        while finished:
            try:
                finished.popleft().on_completed()
            except Exception:
                logger.exception("could not send a response that a thread has made")
