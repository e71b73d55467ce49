"""What an app logs while it is driven: errors are kept, and nothing is printed between the report.

Frameworks answer an error of the app's with a 500, and log it: only so its place can be known.
"""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any


class Logs:
    """Within ``with Logs()``, no handler sees what is logged; `take` returns the errors."""

    def __init__(self, *, passes_on: bool = False) -> None:
        self._passes_on = passes_on
        self._errors: list[BaseException] = []
        self._original: Any = None

    def __enter__(self) -> Logs:
        """Begin."""
        self._original = original = logging.Logger.callHandlers

        def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
            error = record.exc_info[1] if record.exc_info else None
            if error is not None and record.levelno >= logging.ERROR:
                self._errors.append(error)
            if self._passes_on:
                original(logger, record)

        logging.Logger.callHandlers = call_handlers  # type: ignore[method-assign,assignment]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End: handlers see again what is logged."""
        logging.Logger.callHandlers = self._original  # type: ignore[method-assign]

    def take(self) -> BaseException | None:
        """Return the last error that was logged since the last call; None if there is none."""
        errors, self._errors = self._errors, []
        return errors[-1] if errors else None
