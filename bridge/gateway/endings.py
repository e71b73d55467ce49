"""Sessions that are over here, and whose other ends may not know it (rule L10).

What this process has written last of a session may be lost with the connection to Redis: then the
other end would wait for it for ever. So what has ended is remembered until Redis has answered
something that was sent behind it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

#: A session, and the process at its other end: "" if it is not known which worker that is.
Place: TypeAlias = tuple[str, int, str]


class Endings:
    """The sessions of one process that have ended, as long as others may have to be told."""

    def __init__(self) -> None:
        #: Those of which Redis may not have the last frames yet.
        self._unsure: list[Place] = []
        #: Those whose other ends are to be told when Redis is back.
        self._untold: dict[Place, None] = {}

    def note(self, gateway: str, number: int, peer: str) -> None:
        """Take note that this process has ended a session."""
        self._unsure.append((gateway, number, peer))

    def mark(self) -> int:
        """Return what `confirm` takes, if Redis has answered what is sent now."""
        return len(self._unsure)

    def confirm(self, mark: int) -> None:
        """Forget those that had ended at `mark`: Redis has got all that was sent before."""
        del self._unsure[:mark]

    def lose(self, others: Iterable[Place]) -> None:
        """Have all told that were ended in vain, perhaps, and the `others`: Redis is lost."""
        self._untold.update(dict.fromkeys([*self._unsure, *others]))
        self._unsure.clear()

    def take_untold(self) -> list[Place]:
        """Return those that are to be told now."""
        untold, self._untold = self._untold, {}
        return list(untold)
