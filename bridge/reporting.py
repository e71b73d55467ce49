"""Errors are told, and telling them breaks nothing (W38, S14).

The handlers and filters of our loggers are mostly the application's. What these raise would come
out of the middle of a request that is being ended, and leave it without an end.
"""

from __future__ import annotations

import logging
import sys


class SafeLogger(logging.Logger):
    """A logger whose calls never raise; where logging fails, that is said on stderr."""

    def handle(self, record: logging.LogRecord) -> None:
        """Logging: give `record` to the handlers."""
        try:
            super().handle(record)
        except Exception as failure:
            try:
                sys.stderr.write(f"the log could not take {record!r}: it raised {failure!r}\n")
            except Exception:  # no stderr, or nothing that can be shown: there is nobody to tell
                pass


def make_safe(name: str) -> None:
    """Make the logger `name` a `SafeLogger`; one of an application's own class stays as it is."""
    logger = logging.getLogger(name)
    if type(logger) is logging.Logger:
        logger.__class__ = SafeLogger
