"""What is refused before there is an exchange: what its client is told, and what the log (S6)."""

from __future__ import annotations

import logging
from typing import Final

from bridge.errors import BridgeError, peer_name
from bridge.http.status import reason_phrase
from bridge.log import logger

#: Seconds between two lines that count.
REPORT_INTERVAL: Final = 60.0
#: What is refused and never was a request.
HANDSHAKE: Final = "failed TLS handshake"
PLAIN_ON_TLS: Final = "plain HTTP on a TLS port"
PROXY_HEADER: Final = "missing or wrong PROXY header"
#: The most of a reason, and of what a client sent, that a line shows.
_LONGEST: Final = 200
_BEGIN: Final = 80


class Refusals:
    """What one server has refused: a line for each at debug level, and one a minute that counts.

    `note` is called when something is refused, `tick` once a second, `report` at the end.
    """

    def __init__(self) -> None:
        #: How many since the last line, by what they were.
        self._counts: dict[str, int] = {}
        self._last = ""
        self._due = 0.0

    def note(self, client: object, error: object, begin: bytes = b"", what: str = "") -> None:
        """Count one more, which began with `begin`; `what` it was, if no status says that."""
        if not what:
            status = error.status if isinstance(error, BridgeError) else 500
            what = f"{status} {reason_phrase(status)}"
        self._counts[what] = self._counts.get(what, 0) + 1
        self._last = f"{peer_name(client)}: {_printable(error)}"
        if logger.isEnabledFor(logging.DEBUG):
            began = f"; it began with {begin[:_BEGIN]!r}" if begin else ""
            logger.debug("refused (%s) %s%s", what, self._last, began)

    def tick(self, now: float) -> None:
        """Write the line that counts when it is due; `now` is in seconds."""
        if self._counts and now >= self._due:
            self._due = now + REPORT_INTERVAL
            self.report()

    def report(self) -> None:
        """Write the line that counts, if there is anything to count."""
        if self._counts:
            counts = ", ".join(f"{count} x {what}" for what, count in self._counts.items())
            self._counts.clear()
            logger.info(
                "refused: %s. The last was %s. (Counted once a minute; --log-level debug tells "
                "of each.)",
                counts,
                self._last,
            )


def _printable(error: object) -> str:
    """Return a reason as printable ASCII: a client may have chosen a part of it."""
    text = str(error)[:_LONGEST]
    if text.isascii() and text.isprintable():
        return text
    return ascii(text)[1:-1]
