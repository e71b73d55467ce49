"""The toolkit's own loggers: ``bridge.error`` for the operator, ``bridge.access`` for requests.

They are safe to call. The handlers and filters of a logger usually belong to the application; if
one of them raised in the middle of a request, the request would never end (W38, S14).
"""

from __future__ import annotations

import logging
import sys
from typing import Final


class SafeLogger(logging.Logger):
    """A logger whose calls never raise; if logging fails, a line goes to standard error."""

    def handle(self, record: logging.LogRecord) -> None:
        """Pass `record` to the handlers (overrides `logging.Logger`)."""
        try:
            super().handle(record)
        except Exception as failure:
            try:
                sys.stderr.write(f"the log could not take {record!r}: it raised {failure!r}\n")
            except Exception:  # no stderr, or the record has no repr: nothing more can be done
                pass


def safe_logger(name: str) -> logging.Logger:
    """Make the logger `name` a `SafeLogger`; one of an application's own class is left alone."""
    found = logging.getLogger(name)
    if type(found) is logging.Logger:
        found.__class__ = SafeLogger
    return found


#: Errors, and what an operator must know.
logger: Final = safe_logger("bridge.error")
#: One line for each request.
access_logger: Final = safe_logger("bridge.access")
