"""What the new app raises, in the log: a traceback for each kind, and then a line each (M22).

A kind is an exception and the place where it was raised. A new app that fails each request would
else write 90 lines a time, and the kinds that are rare would be lost among them.
"""

from __future__ import annotations

from threading import Lock
from typing import Final, TypeAlias

from bridge.errors import AppError
from bridge.log import logger

#: How many kinds are told apart; of further ones there is no traceback.
_MOST_KINDS: Final = 500
#: How much is said of an error in a line.
_LONGEST: Final = 200
_LEAD: Final = "the new app failed a request of route %s, which the old app answers"

#: An exception, a file and a line.
_Kind: TypeAlias = "tuple[type[BaseException], str, int]"


class FailureLog:
    """Writes down what was rescued, in one process; any thread may."""

    def __init__(self) -> None:
        self._seen: dict[_Kind, int] = {}
        self._lock = Lock()

    def tell(self, route: str, error: Exception) -> None:
        """Log what the new app has raised, or what is to be said of it."""
        kind = _kind_of(error)
        with self._lock:
            known = kind in self._seen or len(self._seen) < _MOST_KINDS
            count = self._seen.get(kind, 0) + 1
            if known:
                self._seen[kind] = count
        _, file, line = kind
        if not file and isinstance(error, AppError):  # such as a 500: the framework has logged why
            logger.error(f"{_LEAD}: %s", route, _said(error))
        elif known and count == 1:
            logger.error(_LEAD, route, exc_info=error)
        elif known:
            logger.error(
                f"{_LEAD}: %s: %s (%s:%d; %d times, the first one with a traceback)",
                *(route, type(error).__name__, _said(error), file, line, count),
            )
        else:
            logger.error(
                f"{_LEAD}: %s: %s (%s:%d)", route, type(error).__name__, _said(error), file, line
            )


def _kind_of(error: BaseException) -> _Kind:
    trace, file, line = error.__traceback__, "", 0
    while trace is not None:
        file, line = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next
    return type(error), file, line


def _said(error: BaseException) -> str:
    """Return the text of an error, in one line."""
    try:
        text = str(error)[: 4 * _LONGEST]
    except Exception:  # of the error's own
        text = "?"
    line = " ".join(text.split())[:_LONGEST]
    return "".join(each if each.isprintable() else "?" for each in line)
