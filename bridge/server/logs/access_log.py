"""The access log: one line for each request, written in batches (S50).

Lines (`access_format.py`) are collected, and written together `DELAY` seconds after the first of
them. They are written directly to the stream if `logging` would do nothing else with them.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Final, TypeAlias

from bridge.log import access_logger
from bridge.server.config.config import Config
from bridge.server.logs.access_format import FORMATS, Record, compile_format, uses_duration
from bridge.server.logs.loggers import in_colour, line_handler, write_lines

#: Seconds that a line waits for others. A write for each line would cost more than the line itself,
#: above all in a worker thread, which releases the GIL at every system call.
DELAY: Final = 0.05

#: Schedules a function to be called `DELAY` later. Called from the thread in which a request ended.
Scheduler: TypeAlias = Callable[[Callable[[], None]], object]


def on_loop(loop: asyncio.AbstractEventLoop) -> Scheduler:
    """Make a `Scheduler` on `loop`, whose thread must call this; it works in every thread."""
    home = threading.get_ident()

    def later(function: Callable[[], None]) -> object:
        if threading.get_ident() == home:
            return loop.call_later(DELAY, function)
        return loop.call_soon_threadsafe(loop.call_later, DELAY, function)

    return later


class AccessLog:
    """Call it with each request that is over; it writes the lines in batches.

    `later` is called once for each batch; without it each line is written at once.
    """

    def __init__(
        self,
        format: str,
        logger: logging.Logger,
        later: Scheduler | None = None,
        *,
        colour: bool = False,
    ) -> None:
        template = FORMATS.get(format, format)
        #: Whether lines contain the duration, so that `started` is needed.
        self.timed = uses_duration(template)
        self._line = compile_format(template, colour=colour)
        self._logger = logger
        self._schedule = later
        self._waiting: list[tuple[str, Context]] = []
        self._scheduled = False

    def __call__(self, record: Record) -> None:
        """Log a request that is over. Any thread may call this, in the request's own context."""
        self._waiting.append((self._line(record), copy_context()))
        if not self._scheduled:
            # If two threads get here at once, the second flush finds nothing; no line is lost.
            self._scheduled = True
            self._schedule_flush()

    def _schedule_flush(self) -> None:
        if self._schedule is not None:
            try:
                self._schedule(self.flush)
                return
            except RuntimeError:
                pass  # a thread ended its request after the loop was closed
        self.flush()

    def flush(self) -> None:
        """Write the collected lines. Call it once more when the last request is over."""
        self._scheduled = False
        lines = self._waiting[:]
        if not lines:
            return
        del self._waiting[: len(lines)]
        logger = self._logger
        if not logger.isEnabledFor(logging.INFO):
            return
        handler = line_handler(logger)
        if handler is not None:
            write_lines(handler, [line for line, _ in lines])
        else:
            for line, context in lines:
                context.run(logger.info, line)  # for filters that look at context variables


def make_access_logger(config: Config, later: Scheduler | None = None) -> AccessLog | None:
    """Make the access log, which writes to the logger ``bridge.access``; None if it is off.

    Call it after `configure_logging`. Raises `ConfigError` for an invalid format.
    """
    if not config.access_log or not access_logger.isEnabledFor(logging.INFO):
        return None
    if not access_logger.propagate and all(
        type(each) is logging.NullHandler for each in access_logger.handlers
    ):
        return None  # there is no standard output
    handler = line_handler(access_logger)
    colour = handler is not None and in_colour(handler.stream)
    return AccessLog(config.access_log_format, access_logger, later, colour=colour)
