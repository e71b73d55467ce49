"""The toolkit's own loggers: ``bridge.error`` for the operator, ``bridge.access`` for requests.

They are safe to call: the handlers and filters of a logger are mostly the application's, and what
these raise would come out of the middle of a request that is being ended, and leave it without an
end (W38, S14).
"""

from __future__ import annotations

import logging
import sys
from typing import Final


class SafeLogger(logging.Logger):
    """A logger whose calls never raise; if logging fails, that is said on stderr."""

    def handle(self, record: logging.LogRecord) -> None:
        """Logging: give `record` to the handlers."""
        try:
            super().handle(record)
        except Exception as failure:
            try:
                sys.stderr.write(f"the log could not take {record!r}: it raised {failure!r}\n")
            except Exception:  # no stderr, or nothing that can be shown: there is nobody to tell
                pass


def safe_logger(name: str) -> logging.Logger:
    """The logger `name`, made a `SafeLogger`; one of an application's own class stays as it is."""
    found = logging.getLogger(name)
    if type(found) is logging.Logger:
        found.__class__ = SafeLogger
    return found


#: What goes wrong, and what an operator must know.
logger: Final = safe_logger("bridge.error")
#: One line for each request.
access_logger: Final = safe_logger("bridge.access")
