"""Count and log what is refused before there is an exchange (S6)."""

from __future__ import annotations

import logging
from typing import Final

from bridge.errors import BridgeError, peer_name
from bridge.http.status import reason_phrase
from bridge.log import logger

#: Seconds between two lines with counts.
REPORT_INTERVAL: Final = 60.0
#: Refusals that have no HTTP status.
HANDSHAKE: Final = "failed TLS handshake"
PLAIN_ON_TLS: Final = "plain HTTP on a TLS port"
PROXY_HEADER: Final = "missing or wrong PROXY header"
#: The most characters of a reason, and bytes of what a client sent, in a line.
_LONGEST: Final = 200
_BEGIN: Final = 80


class Refusals:
    """Logs refusals: a line for each at debug level, and at most one line with counts a minute.

    Call `note` when something is refused, `tick` once a second, `report` at the end.
    """

    def __init__(self) -> None:
        #: Kind of refusal -> how many since the last line.
        self._counts: dict[str, int] = {}
        #: The same, since the start.
        self.totals: dict[str, int] = {}
        self._last = ""
        self._due = 0.0

    def note(self, client: object, error: object, begin: bytes = b"", what: str = "") -> None:
        """Count a refusal. `begin`: the client's first bytes; `what`: its kind, else the status."""
        if not what:
            status = error.status if isinstance(error, BridgeError) else 500
            what = f"{status} {reason_phrase(status)}"
        self._counts[what] = self._counts.get(what, 0) + 1
        self.totals[what] = self.totals.get(what, 0) + 1
        self._last = f"{peer_name(client)}: {_printable(error)}"
        if logger.isEnabledFor(logging.DEBUG):
            began = f"; it began with {begin[:_BEGIN]!r}" if begin else ""
            logger.debug("refused (%s) %s%s", what, self._last, began)

    def tick(self, now: float) -> None:
        """Write the line with counts if it is due; `now` is in seconds."""
        if self._counts and now >= self._due:
            self._due = now + REPORT_INTERVAL
            self.report()

    def report(self) -> None:
        """Write the line with counts, if there were refusals."""
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
    """Return a reason as printable ASCII: parts of it may come from the client."""
    text = str(error)[:_LONGEST]
    if text.isascii() and text.isprintable():
        return text
    return ascii(text)[1:-1]
